#include "gateway/upstream/sse_parser.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace carrel::gateway {

absl::Status SseParser::Feed(std::string_view piece, const std::function<absl::Status(const SseEvent&)>& deliver) {
  while (!piece.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (piece.front() == '\n') {
        piece.remove_prefix(1);
        continue;
      }
    }
    const auto end = std::min(piece.find_first_of("\r\n"), piece.size());
    if (line_.size() + data_.size() + end > limits_.event_bytes_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat("an event of the stream is longer than ", limits_.event_bytes_max, " bytes"));
    }
    line_.append(piece.substr(0, end));
    if (end == piece.size()) break;
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    if (auto status = EndLine(deliver); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SseParser::EndLine(const std::function<absl::Status(const SseEvent&)>& deliver) {
  std::string_view line = line_;
  if (at_start_) {
    at_start_ = false;
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  }
  absl::Status status;
  if (line.empty()) {
    if (has_data_) status = deliver({.name = name_, .data = data_});
    name_.clear();
    data_.clear();
    has_data_ = false;
  } else if (line.front() != ':') {
    const auto colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    const std::string_view field = line.substr(0, colon);
    if (field == "data") {
      if (has_data_) data_ += '\n';
      data_ += value;
      has_data_ = true;
    } else if (field == "event") {
      name_ = value;
    }
  }
  line_.clear();
  return status;
}

}  // namespace carrel::gateway
