/*
 * The yardstick: the least a daemon can do. One thread reads /dev/fuse (spinning for a while after each request, as
 * podfs does), answers names and attributes from constants, READ and WRITE by pread and pwrite of one file.
 *
 *   bare-loop MOUNTPOINT FILE SPIN_MICROS [WORK_NANOS]    mounts, serves until it is unmounted
 *
 * The mount has "file", over FILE; names and attributes are not cached. With WORK_NANOS it computes for so long before
 * each answer: what a daemon that does anything at all can reach.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WRITE = 1 << 20, BUFFER = MAX_WRITE + 4096, FILE_INO = 2 };

static int device, file;
static char in_buffer[BUFFER], data[MAX_WRITE];

static uint64_t now_nanos(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t now_micros(void) { return now_nanos() / 1000; }

static void work_for(uint64_t nanos) {
  if (nanos == 0) return;
  const uint64_t end = now_nanos() + nanos;
  while (now_nanos() < end) {
  }
}

static void reply(uint64_t unique, int error, const void *body, size_t bytes) {
  struct fuse_out_header header = {(uint32_t)(sizeof(header) + bytes), error, unique};
  struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)body, bytes}};
  if (writev(device, parts, bytes ? 2 : 1) < 0 && errno != ENOENT) perror("writev");
}

static void fill_attr(struct fuse_attr *attr, uint64_t ino) {
  memset(attr, 0, sizeof(*attr));
  attr->ino = ino;
  attr->nlink = 1;
  attr->mode = ino == FILE_INO ? S_IFREG | 0644 : S_IFDIR | 0755;
  if (ino == FILE_INO) {
    struct stat s;
    fstat(file, &s);
    attr->size = (uint64_t)s.st_size;
    attr->blocks = (uint64_t)s.st_blocks;
  }
}

static void serve(const struct fuse_in_header *header, const char *body) {
  switch (header->opcode) {
    case FUSE_INIT: {
      struct fuse_init_out out = {.major = 7, .minor = 38, .max_readahead = 1 << 20};
      out.flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC |
                  FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2;
      out.max_background = 128;
      out.congestion_threshold = 96;
      out.max_write = MAX_WRITE;
      out.max_pages = 256;
      out.time_gran = 1;
      return reply(header->unique, 0, &out, sizeof(out));
    }
    case FUSE_LOOKUP: {
      if (strcmp(body, "file") != 0) return reply(header->unique, -ENOENT, NULL, 0);
      struct fuse_entry_out out = {.nodeid = FILE_INO};
      fill_attr(&out.attr, FILE_INO);
      return reply(header->unique, 0, &out, sizeof(out));
    }
    case FUSE_GETATTR:
    case FUSE_SETATTR: {
      struct fuse_attr_out out = {0};
      fill_attr(&out.attr, header->nodeid);
      return reply(header->unique, 0, &out, sizeof(out));
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
      struct fuse_open_out out = {.open_flags = FOPEN_NOFLUSH};
      return reply(header->unique, 0, &out, sizeof(out));
    }
    case FUSE_READ: {
      const struct fuse_read_in *in = (const void *)body;
      ssize_t n = pread(file, data, in->size, (off_t)in->offset);
      return reply(header->unique, n < 0 ? -errno : 0, data, n < 0 ? 0 : (size_t)n);
    }
    case FUSE_WRITE: {
      const struct fuse_write_in *in = (const void *)body;
      ssize_t n = pwrite(file, in + 1, in->size, (off_t)in->offset);
      struct fuse_write_out out = {n < 0 ? 0 : (uint32_t)n, 0};
      return reply(header->unique, n < 0 ? -errno : 0, &out, n < 0 ? 0 : sizeof(out));
    }
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNC:
      return reply(header->unique, 0, NULL, 0);
    default:
      return reply(header->unique, -ENOSYS, NULL, 0);
  }
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5) return fprintf(stderr, "usage: bare-loop MOUNTPOINT FILE SPIN_MICROS [WORK_NANOS]\n"), 2;
  uint64_t spin = strtoull(argv[3], NULL, 10), last = 0;
  uint64_t work = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
  file = open(argv[2], O_RDWR);
  device = open("/dev/fuse", O_RDWR | O_NONBLOCK);
  char options[128];
  snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions", device);
  if (file < 0 || device < 0 || mount("bare", argv[1], "fuse.bare-loop", MS_NOSUID | MS_NODEV, options) != 0)
    return perror("bare-loop"), 1;
  for (;;) {
    ssize_t n = read(device, in_buffer, sizeof(in_buffer));
    if (n > 0) {
      work_for(work);
      serve((const void *)in_buffer, in_buffer + sizeof(struct fuse_in_header));
      last = now_micros();
    } else if (errno == ENODEV) {
      return 0;
    } else if (errno == EAGAIN && now_micros() - last >= spin) {
      struct pollfd p = {device, POLLIN, 0};
      poll(&p, 1, -1);
    }
  }
}
