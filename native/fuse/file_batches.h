// Making and removing many files by one call: a thread is woken once for all of them.
#pragma once

#include <string>
#include <vector>

namespace podfs {

// Makes empty files that must not be there yet, mode 0600, open for reading and writing. For each path a descriptor, or
// a negative errno.
std::vector<int> CreateFiles(const std::vector<std::string>& paths);

// Removes files. What is not there is removed; what cannot be removed stays.
void RemoveFiles(const std::vector<std::string>& paths);

}  // namespace podfs
