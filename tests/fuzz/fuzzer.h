// A deterministic fuzzer in a header and a source: the compiler here has no libFuzzer. A target is a function that
// takes bytes and aborts (FUZZ_CHECK, a sanitizer, a crash) when a promise is broken.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace carrel::fuzz {

// Defined by each target's file. `input`: anything.
void Target(std::string_view input);

// With --planted: the target must behave as if what it tests had the bug that it describes, and the fuzzer must find
// it. A target that never asks has none.
[[nodiscard]] bool Planted();

// Takes bytes off the front, for what a target wants besides its text: which parser, where to cut.
class Bytes {
 public:
  explicit Bytes(std::string_view input) : input_(input) {}
  uint8_t Byte() {
    if (input_.empty()) return 0;
    uint8_t byte = static_cast<uint8_t>(input_.front());
    input_.remove_prefix(1);
    return byte;
  }
  std::string_view Rest() const { return input_; }

 private:
  std::string_view input_;
};

// Feeds `text` in pieces whose lengths `cuts` says; every parser of streams must not care where it is cut.
template <typename Feed>
void InPieces(std::string_view text, uint8_t cuts, Feed feed) {
  uint32_t state = cuts * 2654435761u + 1;
  while (!text.empty()) {
    state = state * 1664525u + 1013904223u;
    size_t length = cuts == 0 ? text.size() : 1 + (state >> 16) % (cuts < 128 ? 7 : 97);
    feed(text.substr(0, length));
    text.remove_prefix(length < text.size() ? length : text.size());
  }
}

}  // namespace carrel::fuzz

#define FUZZ_CHECK(promise)                                                              \
  do {                                                                                   \
    if (!(promise)) {                                                                    \
      std::fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #promise); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
