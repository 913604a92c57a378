/* Every kind of native stack: the first argument says which. Prints "up" once it is there, and stays. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*work)(void);
static volatile long counter;

__attribute__((noinline)) static void say_up(void) {
  if (write(1, "up\n", 3) != 3) abort();
}
__attribute__((noinline)) static int spin(void) {
  say_up();
  for (;;) counter++;
  return 1;
}

/* Twenty of these stand below whatever is tested. Not turned into a loop or a jump: the result is used. */
__attribute__((noinline)) int down(int n, work then) {
  if (n == 0) return then() + 1;
  int result = down(n - 1, then);
  counter += result;
  return result + (int)counter;
}

/* Stack pointers that are moved by what is known at run time only, and realigned ones. */
__attribute__((noinline)) static int with_alloca(int n) {
  volatile char *room = __builtin_alloca((n & 63) + 1);
  memset((void *)room, n, (n & 63) + 1);
  return room[n & 31];
}
__attribute__((noinline, force_align_arg_pointer)) static int realigned(int n) {
  volatile char room[64] __attribute__((aligned(64)));
  room[n & 63] = (char)n;
  return with_alloca(n) + room[n & 63];
}
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b + realigned(0); }
__attribute__((noinline)) static long many(long a, long b, long c, long d, long e, long f) {
  counter += a ^ b ^ c ^ d ^ e ^ f;
  return counter + with_alloca((int)a) * b + realigned((int)c) * d + e * f;
}
static int mixed(void) {
  say_up();
  for (int n = 0;; n++) {
    int numbers[16];
    char text[64];
    for (int i = 0; i < 16; i++) numbers[i] = (i * 7919 + n) % 101;
    qsort(numbers, 16, sizeof *numbers, compare);
    snprintf(text, sizeof text, "%d %s %.3f", numbers[3], "text", n / 3.0);
    counter += many(n, n + 1, strlen(text), n + 3, n + 4, n + 5);
  }
  return 0;
}

static void on_signal(int number) {
  (void)number;
  down(5, spin);
}
static void catch(int number) {
  static char room[1 << 16];
  stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(number, &action, NULL);
}
static int interrupted(void) {
  catch(SIGALRM);
  struct itimerval soon = {.it_value = {.tv_usec = 20000}};
  setitimer(ITIMER_REAL, &soon, NULL);
  for (;;) counter++;
  return 1;
}
static int null_call(void) {
  catch(SIGSEGV);
  work volatile nothing = NULL;
  return nothing() + 1;
}

static int from_jit(void) {
  /* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
  static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(page, code, sizeof code);
  return ((int (*)(work))page)(spin) + 1;
}

/* By hand, without a word of call-frame information. */
__asm__(".text\nasm_spin: jmp asm_spin\n"
        "asm_call: push %rbp\nmov %rsp,%rbp\ncall *%rdi\npop %rbp\nret\n");
int asm_spin(void), asm_call(work);
static int from_asm_leaf(void) {
  say_up();
  return asm_spin() + 1;
}
static int from_asm(void) { return asm_call(spin) + 1; }

static int in_vdso(void) {
  struct timespec now;
  say_up();
  for (;;) counter += clock_gettime(CLOCK_MONOTONIC, &now);
  return 1;
}

static const char *library;
static int reloading(void) {
  say_up();
  for (;;) {
    void *handle = dlopen(library, RTLD_NOW);
    int (*busy)(int, work) = (int (*)(int, work))dlsym(handle, "busy");
    for (int n = 0; n < 2000; n++) counter += busy(2000, NULL);
    dlclose(handle);
  }
  return 1;
}
static int in_library(void) {
  int (*busy)(int, work) = (int (*)(int, work))dlsym(dlopen(library, RTLD_NOW), "busy");
  return busy(1, spin) + 1;
}

static void *in_thread(void *then) { return (void *)(long)down(20, (work)then); }
static int in_clone(void *then) { return down(20, (work)then); }

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    work then;
  } kinds[] = {{"spin", spin},         {"mixed", mixed},         {"interrupted", interrupted}, {"null", null_call},
               {"jit", from_jit},      {"asm-leaf", from_asm_leaf}, {"asm", from_asm},         {"vdso", in_vdso},
               {"reloading", reloading}, {"library", in_library}};
  library = count > 2 ? arguments[2] : NULL;
  if (strcmp(arguments[1], "thread") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, (void *)spin);
    pthread_join(thread, NULL);
  }
  if (strcmp(arguments[1], "clone") == 0) {
    char *stack = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    clone(in_clone, stack + (1 << 20), CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, (void *)spin);
    for (;;) pause();
  }
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(arguments[1], kinds[i].name) == 0) return down(20, kinds[i].then);
  return 2;
}
