// Which sessions there were, and why they are no more: what a caller with an old id is told, also after this server was
// killed and started again.
//
// A file of lines, appended to as sessions begin and end; read and rewritten at the start. What is in it as begun and
// not as ended was ended by the restart. It holds ids, owners, times and reasons, nothing of what ran. Writes are not
// synced: they survive the end of the process, which is what the file is for.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::interpreter {

class Ledger final {
 public:
  // Ended sessions that are remembered; the oldest are forgotten first.
  static constexpr size_t kEndedMax = 10'000;
  static constexpr absl::Duration kRememberMax = absl::Hours(48);

  // Remembers only as long as the process lives.
  Ledger() = default;
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Reads the file at `path`, if there is one, and goes on in it. Lines that are none are passed over. Errors of the
  // file system: nothing was read, and the ledger works without a file.
  [[nodiscard]] absl::Status Open(const std::string& path);

  void Began(std::string_view session_id, std::string_view owner);
  // `reason`: "idle for 20m": what follows "it ended at TIME: ".
  void Ended(std::string_view session_id, std::string_view owner, std::string_view reason);

  // "it ended at 2026-01-02T03:04:05Z: idle for 20m"; nullopt: this owner had no such session, or long ago.
  [[nodiscard]] std::optional<std::string> Fate(std::string_view owner, std::string_view session_id);

 private:
  struct End {
    std::string owner;
    absl::Time at;
    std::string reason;
  };
  void Remember(const std::string& session_id, End end);
  void Append(const std::string& line);
  [[nodiscard]] absl::Status Rewrite();
  void Parse(std::string_view line, std::map<std::string, std::string>& open);

  std::mutex mutex_;
  std::string path_;
  UniqueFd file_;
  uint64_t file_bytes_ = 0;
  std::map<std::string, std::string, std::less<>> open_;  // id to owner
  std::map<std::string, End, std::less<>> ended_;
  std::deque<std::pair<absl::Time, std::string>> order_;  // of ended_, oldest first; may name one that is gone
};

}  // namespace carrel::interpreter
