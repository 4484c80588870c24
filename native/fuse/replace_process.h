// Another program in this process.
#pragma once

#include <string>
#include <vector>

namespace podfs {

// execve(2): the process keeps its number, parent and terminal, and standard input, output and error, which Node.js has
// marked close-on-exec as all it had inherited. Other threads are gone. Returns only if that fails: a negative errno.
int ReplaceProcess(const std::string& program, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment);

}  // namespace podfs
