// A process as the kernel shows it to whoever is outside.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::testing {

// "" when it cannot be read.
[[nodiscard]] std::string ReadAll(const std::string& path);

class Process final {
 public:
  explicit Process(pid_t pid);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Of /proc/PID/status.
  [[nodiscard]] std::string status(const std::string& key) const;
  // "pid:[4026531836]".
  [[nodiscard]] std::string ns(const std::string& name) const;
  [[nodiscard]] std::string File(const std::string& name) const { return ReadAll(absl::StrCat(directory_, name)); }
  // Number to target.
  [[nodiscard]] std::map<int, std::string> Descriptors() const;
  // The innermost of its process ids.
  [[nodiscard]] std::string InnerPid() const;
  // "Max open files" to what cannot be raised.
  [[nodiscard]] std::map<std::string, std::string> HardLimits() const;

 private:
  const pid_t pid_;
  const std::string directory_;
  std::map<std::string, std::string> status_;
};

}  // namespace carrel::testing
