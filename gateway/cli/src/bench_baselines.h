// baselines.py as a process: what the jail is measured against.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/base/child_process.h"

namespace carrel::cli {

class Baselines final {
 public:
  // `jupyter`: "" or a directory. UNAVAILABLE: no Python, or the runtime is not installed.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Baselines>> Start(const std::string& jupyter);
  Baselines(const Baselines&) = delete;
  Baselines& operator=(const Baselines&) = delete;
  ~Baselines();

  // The number that it answers: milliseconds, or a rate. nullopt: it cannot be had here; why() says why.
  [[nodiscard]] std::optional<double> Ask(const std::string& order);
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  Baselines(ChildProcess child, std::FILE* in, std::FILE* out) : child_(std::move(child)), in_(in), out_(out) {}
  [[nodiscard]] std::string Line();

  ChildProcess child_;
  std::FILE* in_;
  std::FILE* out_;
  std::string why_;
};

}  // namespace carrel::cli
