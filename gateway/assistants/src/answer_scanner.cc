#include "gateway/assistants/answer_scanner.h"

#include <algorithm>
#include <array>
#include <utility>

namespace carrel::gateway {
namespace {

constexpr std::string_view kMarkerBegin = "\xE3\x80\x90";  // 【
constexpr std::string_view kMarkerEnd = "\xE3\x80\x91";    // 】
// A marker holds two numbers and a file's name; a link holds a path. What is longer is neither.
constexpr std::size_t kMarkerBytesMax = 320;
constexpr std::size_t kLinkBytesMax = 1100;

// How many bytes at the end of `text` may be the beginning of `word`.
std::size_t PartialAtEnd(std::string_view text, std::string_view word) {
  for (std::size_t length = std::min(text.size(), word.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == word.substr(0, length)) return length;
  }
  return 0;
}

// Where the link at the start of `text` ends; npos: not in what there is.
std::size_t LinkEnd(std::string_view text, char before) {
  const std::string_view ends = before == '(' ? ")\n\r" : " \t\n\r)]}>\"'`<|*";
  std::size_t end = text.find_first_of(ends, kSandboxLink.size());
  // Closing quotes and brackets beyond ASCII end a link too.
  for (const std::string_view close : {"\xE2\x80\x9D", "\xE3\x80\x82", "\xEF\xBC\x89", "\xE3\x80\x90"}) {
    end = std::min(end, text.find(close, kSandboxLink.size()));
  }
  return end;
}

void Add(std::vector<AnswerSegment>& segments, AnswerSegment::Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (kind == AnswerSegment::Kind::kText && !segments.empty() && segments.back().kind == kind) {
    segments.back().text += text;
  } else {
    segments.push_back({.kind = kind, .text = std::string(text)});
  }
}

}  // namespace

std::vector<AnswerSegment> AnswerScanner::Feed(std::string_view piece) {
  held_ += piece;
  return Scan(/*at_end=*/false);
}

std::vector<AnswerSegment> AnswerScanner::Finish() {
  auto segments = Scan(/*at_end=*/true);
  held_.clear();
  before_ = 0;
  return segments;
}

std::vector<AnswerSegment> AnswerScanner::Scan(bool at_end) {
  std::vector<AnswerSegment> segments;
  std::string_view rest = held_;
  const auto take = [&](AnswerSegment::Kind kind, std::size_t length) {
    if (length == 0) return;
    Add(segments, kind, rest.substr(0, length));
    before_ = rest[length - 1];
    rest.remove_prefix(length);
  };
  while (!rest.empty()) {
    const std::size_t marker = rest.find(kMarkerBegin);
    const std::size_t link = rest.find(kSandboxLink);
    if (marker == std::string_view::npos && link == std::string_view::npos) {
      const std::size_t partial =
          at_end ? 0 : std::max(PartialAtEnd(rest, kMarkerBegin), PartialAtEnd(rest, kSandboxLink));
      take(AnswerSegment::Kind::kText, rest.size() - partial);
      break;
    }
    take(AnswerSegment::Kind::kText, std::min(marker, link));
    if (marker < link) {
      const std::size_t end = rest.find(kMarkerEnd);
      const std::size_t next = rest.find(kMarkerBegin, kMarkerBegin.size());
      if (end != std::string_view::npos && end < next && end <= kMarkerBytesMax) {
        take(AnswerSegment::Kind::kMarker, end + kMarkerEnd.size());
      } else if (at_end || end != std::string_view::npos || next != std::string_view::npos ||
                 rest.size() > kMarkerBytesMax) {
        take(AnswerSegment::Kind::kText, kMarkerBegin.size());
      } else {
        break;
      }
    } else {
      std::size_t end = LinkEnd(rest, before_);
      if (end == std::string_view::npos && !at_end && rest.size() <= kLinkBytesMax) break;
      end = std::min(end, rest.size());
      // A sentence's own punctuation is not part of the path.
      while (end > kSandboxLink.size() && std::string_view(".,;:!?").find(rest[end - 1]) != std::string_view::npos) {
        --end;
      }
      const bool is_link = end > kSandboxLink.size() && end <= kLinkBytesMax;
      take(is_link ? AnswerSegment::Kind::kLink : AnswerSegment::Kind::kText, is_link ? end : kSandboxLink.size());
    }
  }
  held_.erase(0, held_.size() - rest.size());
  return segments;
}

int64_t CountCodePoints(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string UndoPercents(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      plain += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace carrel::gateway
