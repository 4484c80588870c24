/*
 * What a program does to a mount, timed: prints one number, operations or MiB per second.
 *
 *   client stat FILE SECONDS             stat(2) of a name that is not cached: LOOKUP round trips
 *   client read|write FILE SECONDS BYTES sequential, buffered, BYTES at a time, over and over
 *   client randread|randwrite FILE SECONDS BYTES   at random multiples of BYTES, one after the other; reads O_DIRECT
 *   client directread FILE SECONDS BYTES sequential, O_DIRECT: requests as large as BYTES
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: client WHAT FILE SECONDS [BYTES]\n"), 2;
  const char *what = argv[1], *path = argv[2];
  double end = now() + atof(argv[3]), start = now();
  uint64_t count = 0, bytes = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
  struct stat s;
  if (strcmp(what, "stat") == 0) {
    for (; now() < end; ++count)
      if (stat(path, &s) != 0) return perror(path), 1;
    return printf("%.0f\n", (double)count / (now() - start)), 0;
  }
  int random_offsets = strncmp(what, "rand", 4) == 0, writes = strstr(what, "write") != NULL;
  int direct = strcmp(what, "randread") == 0 || strcmp(what, "directread") == 0;
  int fd = open(path, O_RDWR | (direct ? O_DIRECT : 0));
  char *buffer = aligned_alloc(4096, bytes);
  if (fd < 0 || fstat(fd, &s) != 0) return perror(path), 1;
  memset(buffer, 'x', bytes);
  uint64_t blocks = (uint64_t)s.st_size / bytes, seed = 88172645463325252ULL;
  while (now() < end) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    off_t offset = (off_t)((random_offsets ? seed % blocks : count % blocks) * bytes);
    /* A new pass over the file begins with nothing cached: an open drops the pages. */
    if (!random_offsets && !writes && offset == 0) close(fd), fd = open(path, O_RDWR | (direct ? O_DIRECT : 0));
    ssize_t n = writes ? pwrite(fd, buffer, bytes, offset) : pread(fd, buffer, bytes, offset);
    if (n != (ssize_t)bytes) return perror(what), 1;
    ++count;
  }
  double seconds = now() - start;
  printf("%.0f\n", random_offsets ? (double)count / seconds : (double)(count * bytes) / (1 << 20) / seconds);
  return 0;
}
