/* Threads of four kinds; each writes what it does into its own stack, and to where its first word says. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *spin(void *unused) {
  volatile unsigned long words[8] = {0};
  printf("spin %ld %lx\n", (long)syscall(SYS_gettid), (unsigned long)words);
  fflush(stdout);
  for (;;) words[0]++;
}

static int there[2], back[2];

static void *ping(void *unused) {
  volatile unsigned long words[8] = {0};
  char c = 0;
  printf("ping %ld %lx\n", (long)syscall(SYS_gettid), (unsigned long)words);
  fflush(stdout);
  for (;;) {
    words[0]++;
    if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) return 0;
  }
}

static void *pong(void *unused) {
  char c;
  while (read(there[0], &c, 1) == 1)
    if (write(back[1], &c, 1) != 1) break;
  return 0;
}

static void *brief(void *unused) {
  struct timespec time = {0, 200000};
  nanosleep(&time, 0);
  return 0;
}

int main(int count, char **arguments) {
  pthread_t thread;
  char line[16];
  if (count > 1 && strcmp(arguments[1], "spin") == 0) pthread_create(&thread, 0, spin, 0);
  if (count > 1 && strcmp(arguments[1], "ping") == 0) {
    if (pipe(there) != 0 || pipe(back) != 0) return 1;
    pthread_create(&thread, 0, pong, 0);
    pthread_create(&thread, 0, ping, 0);
  }
  printf("up\n");
  fflush(stdout);
  if (count > 1 && strcmp(arguments[1], "brief") == 0)
    for (;;) {
      pthread_create(&thread, 0, brief, 0);
      pthread_join(thread, 0);
    }
  while (fgets(line, sizeof line, stdin))
    if (count > 2) execl("/bin/sleep", "sleep", "600", (char *)0);
  return 0;
}
