#include "interpreter/engine/utf8.h"

#include <cstddef>

namespace carrel::interpreter {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Step {
  size_t length = 0;        // bytes that belong together
  bool valid = false;       // they are a character
  bool unfinished = false;  // they could become one
};

// The character at the front of `bytes`, or the maximal part of one (Unicode 15, table 3-7).
Step Next(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return {.length = 1, .valid = true};
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {.length = 1};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {.length = i, .unfinished = true};
    if (at(i) < low || at(i) > high) return {.length = i};
    low = 0x80;
    high = 0xBF;
  }
  return {.length = length, .valid = true};
}

}  // namespace

std::string Utf8Repair::Feed(std::string_view bytes) {
  std::string joined;
  if (!held_.empty()) {
    joined = std::move(held_);
    held_.clear();
    joined.append(bytes);
    bytes = joined;
  }
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Step step = Next(bytes);
    if (step.unfinished) {
      held_ = bytes;
      break;
    }
    text.append(step.valid ? bytes.substr(0, step.length) : kReplacement);
    bytes.remove_prefix(step.length);
  }
  return text;
}

std::string Utf8Repair::Finish() {
  if (held_.empty()) return "";
  held_.clear();
  return std::string(kReplacement);
}

std::string RepairUtf8(std::string_view bytes) {
  Utf8Repair repair;
  std::string text = repair.Feed(bytes);
  text += repair.Finish();
  return text;
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Step step = Next(bytes);
    if (!step.valid) return false;
    bytes.remove_prefix(step.length);
  }
  return true;
}

}  // namespace carrel::interpreter
