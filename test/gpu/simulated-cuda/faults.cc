#include "faults.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

namespace simulated {

namespace {

// "symbol=code", "symbol=code@3", "symbol=code@3+".
struct Rule {
  std::string symbol;
  Result code = kSuccess;
  int64_t first = 1;
  bool onwards = true;
};

class Faults {
 public:
  explicit Faults(const char* variable) {
    const char* const text = getenv(variable);
    std::istringstream list(text != nullptr ? text : "");
    for (std::string item; std::getline(list, item, ',');) rules_.push_back(Parse(item));
  }

  Result Next(const std::string& symbol) {
    if (rules_.empty()) return kSuccess;
    const std::lock_guard lock(mutex_);
    const int64_t call = ++calls_[symbol];
    for (const Rule& rule : rules_) {
      if (rule.symbol == symbol && (call == rule.first || (rule.onwards && call > rule.first))) return rule.code;
    }
    return kSuccess;
  }

 private:
  static Rule Parse(const std::string& item) {
    Rule rule;
    const size_t equals = item.find('=');
    const size_t at = item.find('@');
    rule.symbol = item.substr(0, equals);
    if (equals != std::string::npos) rule.code = atoi(item.c_str() + equals + 1);
    if (at != std::string::npos) {
      rule.first = atoi(item.c_str() + at + 1);
      rule.onwards = item.back() == '+';
    }
    return rule;
  }

  std::vector<Rule> rules_;
  std::mutex mutex_;
  std::map<std::string, int64_t> calls_;  // GUARDED BY mutex_
};

}  // namespace

int64_t Setting(const char* name, int64_t otherwise) {
  const char* const text = getenv(name);
  return text != nullptr && *text != 0 ? atoll(text) : otherwise;
}

Result InjectedFailure(const char* symbol) {
  static auto* const faults = new Faults("SIMULATED_CUDA_FAIL");
  return faults->Next(symbol);
}

Result InjectedLateFailure(const char* symbol) {
  static auto* const faults = new Faults("SIMULATED_CUDA_FAIL_LATE");
  return faults->Next(symbol);
}

void LogCall(const char* symbol, Result result) {
  static const int log = [] {
    const char* const path = getenv("SIMULATED_CUDA_LOG");
    return path != nullptr && *path != 0 ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
  }();
  if (log < 0) return;
  const std::string line = std::to_string(getpid()) + " " + symbol + " " + std::to_string(result) + "\n";
  // One write, so that lines of several processes do not mix.
  if (write(log, line.data(), line.size()) < 0) abort();
}

}  // namespace simulated
