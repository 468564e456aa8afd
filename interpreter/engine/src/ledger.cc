#include "interpreter/engine/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "interpreter/engine/text.h"
#include "sandbox/base/error.h"

namespace carrel::interpreter {
namespace {

// The version of the format, in the first line.
constexpr std::string_view kHeader = "carrel-sessions 1\n";
// Then it is written anew, with what is still remembered.
constexpr uint64_t kFileBytesMax = 8 << 20;
constexpr std::string_view kRestarted = "a restart of the service";

// A line's fields are separated by tabs, and escaped so that none can hold one: owners are whatever a caller calls
// itself.
std::string Escape(std::string_view text) { return absl::CHexEscape(ToAbsl(text)); }

std::string BeganLine(std::string_view id, std::string_view owner) {
  return StrCat("began\t", Escape(id), "\t", Escape(owner), "\n");
}

std::string EndedLine(std::string_view id, std::string_view owner, absl::Time at, std::string_view reason) {
  return StrCat("ended\t", Escape(id), "\t", Escape(owner), "\t", absl::ToUnixMillis(at), "\t", Escape(reason), "\n");
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return ErrnoStatus(errno, path);
  std::string text;
  std::vector<char> buffer(64 << 10);
  // Twice what we would let it become: a longer one is none of ours.
  while (text.size() < 2 * kFileBytesMax) {
    const ssize_t count = TEMP_FAILURE_RETRY(::read(fd.get(), buffer.data(), buffer.size()));
    if (count < 0) return ErrnoStatus(errno, path);
    if (count == 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return text;
}

}  // namespace

absl::Status Ledger::Open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  std::map<std::string, std::string> open;
  if (text.ok() && text->rfind(kHeader, 0) == 0) {
    // What comes after the last newline was being written when the end came.
    for (const absl::string_view line : absl::StrSplit(*text, '\n')) Parse({line.data(), line.size()}, open);
  }
  const absl::Time now = absl::Now();
  for (const auto& [id, owner] : open) Remember(id, {owner, now, std::string(kRestarted)});
  path_ = path;
  return Rewrite();
}

void Ledger::Parse(std::string_view line, std::map<std::string, std::string>& open) {
  std::vector<std::string> fields;
  for (const absl::string_view field : absl::StrSplit(ToAbsl(line), '\t')) {
    std::string plain;
    if (!absl::CUnescape(field, &plain)) return;
    fields.push_back(std::move(plain));
  }
  int64_t ms = 0;
  if (fields.size() == 3 && fields[0] == "began") {
    open[fields[1]] = fields[2];
    ended_.erase(fields[1]);
  } else if (fields.size() == 5 && fields[0] == "ended" && absl::SimpleAtoi(fields[3], &ms)) {
    open.erase(fields[1]);
    const absl::Time at = absl::FromUnixMillis(ms);
    if (absl::Now() - at < kRememberMax) Remember(fields[1], {fields[2], at, fields[4]});
  }
}

void Ledger::Remember(const std::string& session_id, End end) {
  order_.emplace_back(end.at, session_id);
  ended_[session_id] = std::move(end);
  while (order_.size() > kEndedMax || (!order_.empty() && absl::Now() - order_.front().first > kRememberMax)) {
    const auto found = ended_.find(order_.front().second);
    // The same id may have lived and ended again since.
    if (found != ended_.end() && found->second.at == order_.front().first) ended_.erase(found);
    order_.pop_front();
  }
}

absl::Status Ledger::Rewrite() {
  std::string text(kHeader);
  for (const auto& [id, end] : ended_) text += EndedLine(id, end.owner, end.at, end.reason);
  for (const auto& [id, owner] : open_) text += BeganLine(id, owner);
  const std::string next = path_ + ".next";
  UniqueFd fd(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoStatus(errno, next);
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t count = TEMP_FAILURE_RETRY(::write(fd.get(), rest.data(), rest.size()));
    if (count <= 0) return ErrnoStatus(errno, next);
    rest.remove_prefix(static_cast<size_t>(count));
  }
  if (::rename(next.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, path_);
  file_ = std::move(fd);
  file_bytes_ = text.size();
  return absl::OkStatus();
}

void Ledger::Append(const std::string& line) {
  if (!file_) return;
  // One write: a reader after a kill finds whole lines. A full disk loses the line, and with it one sentence of an
  // error message.
  if (TEMP_FAILURE_RETRY(::write(file_.get(), line.data(), line.size())) > 0) file_bytes_ += line.size();
  if (file_bytes_ > kFileBytesMax) Rewrite().IgnoreError();
}

void Ledger::Began(std::string_view session_id, std::string_view owner) {
  const std::lock_guard lock(mutex_);
  open_[std::string(session_id)] = std::string(owner);
  if (const auto found = ended_.find(session_id); found != ended_.end()) ended_.erase(found);
  Append(BeganLine(session_id, owner));
}

void Ledger::Ended(std::string_view session_id, std::string_view owner, std::string_view reason) {
  const std::lock_guard lock(mutex_);
  if (const auto found = open_.find(session_id); found != open_.end()) open_.erase(found);
  const absl::Time now = absl::Now();
  Remember(std::string(session_id), {std::string(owner), now, std::string(reason)});
  Append(EndedLine(session_id, owner, now, reason));
}

std::optional<std::string> Ledger::Fate(std::string_view owner, std::string_view session_id) {
  const std::lock_guard lock(mutex_);
  const auto found = ended_.find(session_id);
  if (found == ended_.end() || found->second.owner != owner) return std::nullopt;
  return StrCat("it ended at ", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", found->second.at, absl::UTCTimeZone()), ": ",
                found->second.reason);
}

}  // namespace carrel::interpreter
