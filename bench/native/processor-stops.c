/*
 * Says when a processor did not run, and how much of that a program had it for: a virtual machine's host can stop a
 * processor with nothing said, and charge whoever runs there with that time or not. A thread bound to each one, at
 * real-time priority, looks every two milliseconds. Nobody's work of an ordinary priority makes it late, so when it is,
 * its processor was stopped, or the kernel did not let go of it.
 *
 *   processor-stops PID   prints "ready", then a line `PROCESSOR BEGAN END TAKEN` for each time that one was late by LATE_NS
 *                         or more, or took so long to look: from when it should have done so until it had (CLOCK_MONOTONIC), and for how much of
 *                         it the processor was that of PID's main thread, all in nanoseconds. Ends with PID.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_NS 2000000LL
#define LATE_NS 1000000LL
#define PRIORITY 50

/* Of the program's main thread, in /proc. */
static int schedstat_file, stat_file, status_file;

struct look {
  long long queued; /* Its time waiting for a processor (Documentation/scheduler/sched-stats.rst), */
  long long turns;  /* and how often it was given one. */
  long sleeps;      /* How often it gave one up by itself. */
  int ready;        /* It had one, or was waiting for one, */
  long processor;   /* this one. */
};

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void read_file(int file, char *text, size_t size) {
  ssize_t length = pread(file, text, size - 1, 0);
  if (length <= 0) _exit(0);
  text[length] = '\0';
}

/* State and processor: fields 3 and 39 of proc_pid_stat(5). The second is a name and ends with the last parenthesis. */
static struct look look_at_program(void) {
  static const char sleeps[] = "\nvoluntary_ctxt_switches:";
  char text[4096];
  struct look look;
  read_file(schedstat_file, text, sizeof text);
  if (sscanf(text, "%*d %lld %lld", &look.queued, &look.turns) != 2) _exit(1);
  read_file(stat_file, text, sizeof text);
  char *at = strrchr(text, ')') + 2;
  look.ready = *at == 'R';
  for (int field = 3; field < 39; ++field) at = strchr(at, ' ') + 1;
  look.processor = strtol(at, NULL, 10);
  read_file(status_file, text, sizeof text);
  at = strstr(text, sleeps);
  if (at == NULL) _exit(1);
  look.sleeps = strtol(at + strlen(sleeps), NULL, 10);
  return look;
}

/*
 * How much of a time the processor was that of the program's thread, if it was here all the while and never slept: what it did not
 * wait for its turn, whether it was charged with it or not. Each look takes the processor from it, and so may a signal in
 * between. Had it been given one more often, it may have been elsewhere.
 */
static long long taken_here(long processor, struct look before, struct look after, long long nanos) {
  int stayed = before.ready && before.processor == processor && after.processor == processor &&
               after.sleeps == before.sleeps && after.turns - before.turns <= 2;
  long long taken = nanos - (after.queued - before.queued);
  return stayed && taken > 0 ? taken : 0;
}

/* One write for each line: threads do not mix theirs. */
static void tell(long processor, long long began, long long end, long long taken) {
  char line[96];
  int length = snprintf(line, sizeof line, "%ld %lld %lld %lld\n", processor, began, end, taken);
  if (write(STDOUT_FILENO, line, (size_t)length) != length) _exit(1);
}

static void *watch(void *argument) {
  long processor = (long)argument;
  long long looked = now();
  for (;;) {
    struct look before = look_at_program();
    long long began = now();
    /* Stopped while it looked: the processor was the watch's own. */
    if (began - looked >= LATE_NS) tell(processor, looked, began, 0);
    long long due = began + LOOK_EVERY_NS;
    struct timespec at = {due / 1000000000LL, due % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR);
    looked = now();
    if (looked - due < LATE_NS) continue;
    tell(processor, due, looked, taken_here(processor, before, look_at_program(), looked - due));
  }
}

static int open_of(const char *pid, const char *name) {
  char path[128];
  snprintf(path, sizeof path, "/proc/%s/task/%s/%s", pid, pid, name);
  return open(path, O_RDONLY | O_CLOEXEC);
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: processor-stops PID\n"), 2;
  schedstat_file = open_of(argv[1], "schedstat");
  stat_file = open_of(argv[1], "stat");
  status_file = open_of(argv[1], "status");
  if (schedstat_file < 0 || stat_file < 0 || status_file < 0) return perror(argv[1]), 1;
  cpu_set_t allowed;
  struct sched_param parameters = {.sched_priority = PRIORITY};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  pthread_attr_setschedparam(&attributes, &parameters);
  mlockall(MCL_CURRENT | MCL_FUTURE);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (long processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(processor, &only);
    pthread_attr_setaffinity_np(&attributes, sizeof only, &only);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, watch, (void *)processor);
    if (error != 0) return fprintf(stderr, "processor-stops: no thread of real-time priority: %s\n", strerror(error)), 1;
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
