// How much of a file the page cache holds.
#pragma once

#include <cstdint>

namespace podfs::measure {

// Forgets the clean pages of a file. Returns how many of its bytes are in the page cache all the same (tmpfs has
// nowhere else to keep them), or a negative errno.
int64_t DropPages(int fd);

}  // namespace podfs::measure
