/*
 * How many requests of one kind a filesystem answers: prints operations per second.
 *
 *   round-trips lookup  DIRECTORY SECONDS THREADS   stat(2) of names that are not there, and never were: one LOOKUP
 *   round-trips getattr FILE SECONDS THREADS        statx(2) that insists on asking (AT_STATX_FORCE_SYNC): one GETATTR
 *   round-trips stat    FILE SECONDS THREADS        stat(2), as programs call it: the kernel may remember
 *   round-trips read    FILE SECONDS THREADS        4 KiB at random places, buffered
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, NAME = 4096, THREADS_MAX = 256 };

struct worker {
  pthread_t thread;
  int number;
  int fd;
  uint64_t count, blocks, seed;
};

static const char *path;
static double end;
static void (*once)(struct worker *);

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(void) {
  perror(path);
  exit(1);
}

static void lookup_once(struct worker *worker) {
  char name[NAME];
  struct stat s;
  /* With the process id in it: the kernel must not have seen the name before. */
  unsigned long long count = worker->count;
  snprintf(name, sizeof(name), "%s/absent-%d-%d-%llu", path, getpid(), worker->number, count);
  if (stat(name, &s) == 0 || errno != ENOENT) fail();
}

static void getattr_once(struct worker *worker) {
  struct statx s;
  if (statx(worker->fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &s) != 0) fail();
}

static void stat_once(struct worker *worker) {
  struct stat s;
  (void)worker;
  if (stat(path, &s) != 0) fail();
}

static void read_once(struct worker *worker) {
  char buffer[BLOCK];
  uint64_t x = worker->seed;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64 */
  worker->seed = x;
  if (pread(worker->fd, buffer, BLOCK, (off_t)(x % worker->blocks * BLOCK)) != BLOCK) fail();
}

static const struct {
  const char *name;
  void (*once)(struct worker *);
} KINDS[] = {{"lookup", lookup_once}, {"getattr", getattr_once}, {"stat", stat_once}, {"read", read_once}};

static void *work(void *argument) {
  struct worker *worker = argument;
  struct stat s;
  worker->fd = open(path, O_RDONLY);
  if (worker->fd < 0 || fstat(worker->fd, &s) != 0) fail();
  worker->blocks = (uint64_t)s.st_size / BLOCK;
  worker->seed = 88172645463325252ULL + (uint64_t)worker->number;
  if (once == read_once && worker->blocks == 0) errno = EINVAL, fail();
  for (; now() < end; ++worker->count) once(worker);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: round-trips lookup|getattr|stat|read PATH SECONDS THREADS\n"), 2;
  for (size_t i = 0; i < sizeof(KINDS) / sizeof(*KINDS); ++i)
    if (strcmp(argv[1], KINDS[i].name) == 0) once = KINDS[i].once;
  path = argv[2];
  int threads = atoi(argv[4]);
  if (once == NULL || threads < 1 || threads > THREADS_MAX)
    return fprintf(stderr, "round-trips: one of the four kinds, 1 to %d threads\n", THREADS_MAX), 2;
  static struct worker workers[THREADS_MAX];
  double start = now();
  end = start + atof(argv[3]);
  for (int i = 0; i < threads; ++i) {
    workers[i].number = i;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return perror("pthread_create"), 1;
  }
  uint64_t count = 0;
  for (int i = 0; i < threads; ++i) pthread_join(workers[i].thread, NULL), count += workers[i].count;
  return printf("%.0f\n", (double)count / (now() - start)), 0;
}
