// Where an upload waits until it is whole: a file without a name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::interpreter {

class Spool final {
 public:
  // In `directory`, or in memory when that is "".
  [[nodiscard]] static absl::StatusOr<Spool> Open(const std::string& directory);
  [[nodiscard]] absl::Status Append(std::string_view bytes);
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }
  // The whole, to be read from its beginning.
  [[nodiscard]] absl::StatusOr<UniqueFd> Rewind() &&;

 private:
  explicit Spool(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  uint64_t size_bytes_ = 0;
};

}  // namespace carrel::interpreter
