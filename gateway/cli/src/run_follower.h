// A run as it is streamed: what the assistant says goes to stdout, what it does beside that to stderr, and what is left
// to do when it has ended (footnotes, files) is collected.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api_client.h"
#include "cli/console.h"

namespace carrel::cli {

struct Footnote {
  std::string file_id;
  std::string marker;  // as it stood in the text, 【0:1†manual.pdf】
  Json citation;       // x_carrel of the annotation; null from a server that has none
};

class RunFollower final {
 public:
  explicit RunFollower(Console& console) : console_(console) {}

  // An event of the stream. An error: the server's, or one that is no JSON.
  [[nodiscard]] absl::Status Handle(const std::string& event, const std::string& data);

  [[nodiscard]] const std::string& thread() const { return thread_; }
  [[nodiscard]] const std::string& run() const { return run_; }
  // "completed", "failed", …: the last that was told; "": nothing was.
  [[nodiscard]] const std::string& status() const { return status_; }
  // The run as it was told last.
  [[nodiscard]] const Json& last() const { return last_; }
  [[nodiscard]] const std::vector<Footnote>& footnotes() const { return footnotes_; }
  // Of pictures and of what code wrote, in their order.
  [[nodiscard]] const std::vector<std::string>& files() const { return files_; }

 private:
  void HandleRun(const std::string& event, Json run);
  void HandleMessageDelta(const Json& delta);
  void HandleStepDelta(const Json& delta);
  void HandleStepEnd(const Json& step);
  void HandleMessageEnd(const Json& message);
  void ShowText(const Json& text);
  void ShowCall(const Json& call);
  // The number of its footnote.
  size_t NumberOf(const Json& annotation);
  void AddFile(const std::string& id);
  // What is not the answer begins on a line of its own.
  void Note(const std::string& text);

  Console& console_;
  std::string thread_;
  std::string run_;
  std::string status_;
  Json last_;
  std::vector<Footnote> footnotes_;
  std::vector<std::string> files_;
  std::set<std::string> seen_files_;
  bool answer_open_ = false;  // stdout is within a line
  bool note_open_ = false;    // stderr is
};

}  // namespace carrel::cli
