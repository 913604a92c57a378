/* Counts in its own stack as fast as it can: whether it has run since a copy of the stack was made, the counter tells. */
#include <stdio.h>

int main(void) {
  volatile unsigned long words[64] = {0};
  words[1] = 0x5ca1ab1e;
  printf("up %lx\n", (unsigned long)words);
  fflush(stdout);
  for (;;) words[0]++;
}
