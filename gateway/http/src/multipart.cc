#include "multipart.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "message.h"

namespace carrel::gateway::http {
namespace {

constexpr size_t kHeadersMax = 16 << 10;
constexpr size_t kPreambleMax = 64 << 10;
constexpr size_t kBoundaryMax = 256;

absl::Status NotAForm(const char* what) {
  return absl::InvalidArgumentError(std::string("the multipart form cannot be read: ") + what);
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return absl::ascii_tolower(x) == absl::ascii_tolower(y);
         });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && absl::ascii_isspace(text.front())) text.remove_prefix(1);
  while (!text.empty() && absl::ascii_isspace(text.back())) text.remove_suffix(1);
  return text;
}

struct Parameter {
  std::string name;
  std::string value;
};

// The next "; name=value" of a header's value, which is shortened; the value quoted or not. Name "": there is none.
Parameter TakeParameter(std::string_view& text) {
  size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos) {
    text = {};
    return {};
  }
  text.remove_prefix(semicolon + 1);
  size_t equals = text.find('=');
  size_t next = text.find(';');
  if (equals == std::string_view::npos || next < equals) return {std::string(Trim(text.substr(0, next))), ""};
  Parameter parameter{std::string(Trim(text.substr(0, equals))), ""};
  text.remove_prefix(equals + 1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  if (text.empty() || text.front() != '"') {
    parameter.value = std::string(Trim(text.substr(0, text.find(';'))));
    return parameter;
  }
  size_t at = 1;
  for (; at < text.size() && text[at] != '"'; ++at) {
    // Only these two are escapes: a backslash of a Windows path is itself.
    if (text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\')) ++at;
    parameter.value += text[at];
  }
  text.remove_prefix(std::min(text.size(), at + 1));
  return parameter;
}

// RFC 5987: utf-8'language'percent-encoded.
std::string DecodeExtended(const std::string& value) {
  size_t quote = value.find('\'');
  size_t second = quote == std::string::npos ? quote : value.find('\'', quote + 1);
  return second == std::string::npos ? value : DecodeUrl(std::string_view(value).substr(second + 1), false);
}

PartHeader HeaderOf(std::string_view headers) {
  PartHeader part;
  while (!headers.empty()) {
    std::string_view line = headers.substr(0, headers.find('\n'));
    headers.remove_prefix(std::min(headers.size(), line.size() + 1));
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || !EqualIgnoringCase(Trim(line.substr(0, colon)), "content-disposition")) {
      continue;
    }
    std::string_view rest = line.substr(colon + 1);
    bool extended = false;
    while (!rest.empty()) {
      Parameter parameter = TakeParameter(rest);
      if (EqualIgnoringCase(parameter.name, "name")) part.name = ToUtf8(parameter.value);
      if (EqualIgnoringCase(parameter.name, "filename*")) {
        part.is_file = extended = true;
        part.filename = DecodeExtended(parameter.value);
      } else if (EqualIgnoringCase(parameter.name, "filename") && !extended) {
        part.is_file = true;
        part.filename = ToUtf8(parameter.value);
      }
    }
  }
  return part;
}

}  // namespace

std::string BoundaryOf(std::string_view content_type) {
  if (!EqualIgnoringCase(Trim(content_type.substr(0, content_type.find(';'))), "multipart/form-data")) return "";
  while (!content_type.empty()) {
    Parameter parameter = TakeParameter(content_type);
    if (EqualIgnoringCase(parameter.name, "boundary") && parameter.value.size() <= kBoundaryMax) return parameter.value;
  }
  return "";
}

MultipartReader::MultipartReader(std::string boundary, PartSink sink)
    : delimiter_("\r\n--" + std::move(boundary)), sink_(std::move(sink)), buffer_("\r\n") {}

bool MultipartReader::TooFar(size_t at, size_t length, size_t at_max) const {
  return at == std::string::npos ? buffer_.size() >= at_max + length : at > at_max;
}

absl::Status MultipartReader::Feed(std::string_view bytes) {
  buffer_ += bytes;
  absl::Status status;
  while (status.ok() && Step(status)) {
  }
  return status;
}

absl::Status MultipartReader::Finish() const {
  return state_ == State::kEnd ? absl::OkStatus() : NotAForm("it ends before its closing boundary");
}

bool MultipartReader::Step(absl::Status& status) {
  switch (state_) {
    case State::kPreamble: {
      size_t at = buffer_.find(delimiter_);
      if (TooFar(at, delimiter_.size(), kPreambleMax)) status = NotAForm("its boundary is not there");
      if (at == std::string::npos || !status.ok()) return false;
      buffer_.erase(0, at + delimiter_.size());
      state_ = State::kBoundary;
      return true;
    }
    case State::kBoundary:
      return StepBoundary(status);
    case State::kHeaders:
      return StepHeaders(status);
    case State::kBody:
      return StepBody(status);
    case State::kEnd:
      buffer_.clear();  // the epilogue
      return false;
  }
  return false;
}

// After a delimiter: "--" ends the form, a line end begins a part.
bool MultipartReader::StepBoundary(absl::Status& status) {
  if (buffer_.size() < 2) return false;
  if (buffer_.starts_with("--")) {
    state_ = State::kEnd;
    return true;
  }
  size_t line = buffer_.find("\r\n");
  if (TooFar(line, 2, kBoundaryMax)) status = NotAForm("a boundary is not followed by a line end");
  if (line == std::string::npos || !status.ok()) return false;
  // The line end stays: headers that are absent end with an empty line too.
  buffer_.erase(0, line);
  state_ = State::kHeaders;
  return true;
}

bool MultipartReader::StepHeaders(absl::Status& status) {
  size_t end = buffer_.find("\r\n\r\n");
  if (TooFar(end, 4, kHeadersMax)) status = NotAForm("the headers of a part are too long");
  if (end == std::string::npos || !status.ok()) return false;
  PartHeader header = HeaderOf(std::string_view(buffer_).substr(0, end));
  if (header.name.empty()) {
    status = NotAForm("a part has no name");
    return false;
  }
  buffer_.erase(0, end + 4);
  state_ = State::kBody;
  status = sink_.begin(header);
  return true;
}

bool MultipartReader::StepBody(absl::Status& status) {
  size_t at = buffer_.find(delimiter_);
  if (at != std::string::npos) {
    if (at > 0) status = sink_.data(std::string_view(buffer_).substr(0, at));
    if (status.ok()) status = sink_.end();
    buffer_.erase(0, at + delimiter_.size());
    state_ = State::kBoundary;
    return true;
  }
  // What could still become a delimiter stays.
  size_t keep = std::min(buffer_.size(), delimiter_.size() - 1);
  size_t give = buffer_.size() - keep;
  if (give > 0) {
    status = sink_.data(std::string_view(buffer_).substr(0, give));
    buffer_.erase(0, give);
  }
  return false;
}

}  // namespace carrel::gateway::http
