// SHA-256 (FIPS 180-4), for content addresses and for checking model files. Not for secrets: not constant time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace carrel::retrieval {

// Feed bytes, then take the digest once. Not thread-safe; copying forks the state.
class Sha256 final {
 public:
  Sha256();
  void Update(std::string_view bytes);
  // Lower-case hexadecimal, 64 characters. The object must not be used afterwards.
  [[nodiscard]] std::string FinishHex();

 private:
  void Block(const uint8_t* block);

  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> buffer_{};
  size_t buffered_ = 0;
  uint64_t length_ = 0;
};

[[nodiscard]] std::string Sha256Hex(std::string_view bytes);
// Of a whole file. NOT_FOUND or UNAVAILABLE when it cannot be read.
[[nodiscard]] absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

}  // namespace carrel::retrieval
