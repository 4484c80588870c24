// The kernel's table of this process's open files.
#pragma once

namespace podfs {

// Makes the table large enough for all files that the process may open, 65,536 at most: half a megabyte. The kernel
// doubles it when it is full, and in a process with threads whoever opens a file then waits for all processors
// (synchronize_rcu() in expand_fdtable(), fs/file.c): 10 to 40 ms. The table never shrinks. Blocks. Returns its size; 0
// if that failed, which does no harm.
int ReserveDescriptors();

}  // namespace podfs
