// Results on stdout, talk on stderr, JSON when asked, progress only on a terminal; and nothing that a stranger wrote
// reaches a terminal as a command to it.
#pragma once

#include <google/protobuf/message.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace carrel::cli {

// `text` with everything that a terminal would obey (C0 and C1 controls, escapes) written as \xNN. Newlines and tabs
// stay when `keep_lines`.
[[nodiscard]] std::string SafeText(std::string_view text, bool keep_lines);
// "12.3 MB", "512 bytes".
[[nodiscard]] std::string HumanBytes(uint64_t bytes);
[[nodiscard]] std::string ToJson(const google::protobuf::Message& message);

// Not thread-safe.
class Console final {
 public:
  explicit Console(bool json);

  [[nodiscard]] bool json() const { return json_; }
  // Somebody sits there: stdin and stderr are a terminal.
  [[nodiscard]] bool interactive() const;
  // Asks, on stderr.
  void Prompt(std::string_view text);
  // A result for people, safe for a terminal; nothing in JSON mode. With a final newline.
  void Print(std::string_view line);
  // What code wrote: as it is into a pipe or file, safe on a terminal; nothing in JSON mode.
  void WriteStdout(std::string_view text);
  void WriteStderr(std::string_view text);
  // As WriteStderr, and faint on a terminal: what happens beside the answer.
  void WriteNote(std::string_view text);
  // One line of JSON; nothing unless in JSON mode.
  void PrintJson(const google::protobuf::Message& message);
  void PrintJsonText(std::string_view line);
  // Talk: "carrel: …" on stderr.
  void Say(std::string_view sentence);
  // A line that replaces itself, on a terminal only, at most ten times a second; the next Print or Say removes it.
  void Progress(std::string_view line);
  // The error for people, on stderr, with what would be right and when to try again; in JSON mode also
  // {"error":{"code","message","field",…}} on stdout.
  void Fail(const absl::Status& status);

 private:
  void ClearProgress();

  const bool json_;
  const bool stdout_is_terminal_;
  const bool stderr_is_terminal_;
  bool progress_shown_ = false;
  std::chrono::steady_clock::time_point progress_at_;
};

}  // namespace carrel::cli
