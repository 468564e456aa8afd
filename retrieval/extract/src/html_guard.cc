#include "html_guard.h"

#include <algorithm>
#include <cstdint>

#include "html.h"

namespace carrel::retrieval::extract {
namespace {

// Without an end tag, or with one that is often left out.
constexpr std::string_view kUnclosed[] = {
    "area", "base", "body", "br",     "caption", "col",  "colgroup", "dd",     "dt",       "embed", "frame", "head",
    "hr",   "html", "img",  "input",  "li",      "link", "meta",     "option", "optgroup", "p",     "param", "rb",
    "rp",   "rt",   "rtc",  "source", "tbody",   "td",   "tfoot",    "th",     "thead",    "tr",    "track", "wbr"};
// What stands in them is no markup.
constexpr std::string_view kRaw[] = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool IsNameByte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == ':' || c == '_'; }
bool IsSpaceByte(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

class Guard final {
 public:
  explicit Guard(std::string_view html) : html_(html) {}

  HtmlCut Run() {
    while (clause_.empty() && at_ < html_.size()) {
      const size_t tag = html_.find('<', at_);
      if (tag == std::string_view::npos) break;
      at_ = tag;
      Tag();
      if (!clause_.empty()) return {.bytes = tag, .clause = clause_};
    }
    return {.bytes = html_.size()};
  }

 private:
  void Tag() {
    const std::string_view rest = html_.substr(at_);
    if (rest.starts_with("<!--")) return SkipPast("-->");
    const bool closing = rest.starts_with("</");
    at_ += closing ? 2 : 1;
    if (at_ == html_.size()) return;
    const char first = Lower(html_[at_]);
    if (first < 'a' || first > 'z') return;
    if (++tags_ > kHtmlTagsMax) {
      clause_ = "at most " + std::to_string(kHtmlTagsMax) + " tags are read";
      return;
    }
    std::string name;
    while (at_ < html_.size() && IsNameByte(Lower(html_[at_])) && name.size() < 16) name += Lower(html_[at_++]);
    const bool self_closed = Attributes();
    if (!clause_.empty()) return;
    if (std::find(std::begin(kUnclosed), std::end(kUnclosed), name) != std::end(kUnclosed)) return;
    const bool picture = name == "svg" || name == "math";
    if (closing) {
      depth_ -= depth_ > 0 ? 1 : 0;
      if (picture && pictures_ > 0) --pictures_;
      return;
    }
    if (std::find(std::begin(kRaw), std::end(kRaw), name) != std::end(kRaw)) return SkipRaw(name);
    // "<path/>" within a picture; elsewhere the slash means nothing.
    if (self_closed && (pictures_ > 0 || picture)) return;
    pictures_ += picture ? 1 : 0;
    if (++depth_ > kHtmlDepthMax) {
      clause_ = "at most " + std::to_string(kHtmlDepthMax) + " levels of nesting are read";
    }
  }

  // To behind the tag's end.
  bool Attributes() {
    uint32_t attributes = 0;
    bool in_space = false;
    for (char quote = 0; at_ < html_.size(); ++at_) {
      const char c = html_[at_];
      if (quote != 0) {
        if (c == quote) quote = 0;
        continue;
      }
      if (c == '>') {
        const bool self_closed = html_[at_ - 1] == '/';
        ++at_;
        return self_closed;
      }
      if ((c == '"' || c == '\'') && html_[at_ - 1] == '=') quote = c;
      const bool space = IsSpaceByte(c) || c == '/' || c == '"' || c == '\'';
      if (!space && in_space && ++attributes > kHtmlAttributesMax) {
        clause_ = "at most " + std::to_string(kHtmlAttributesMax) + " attributes of a tag are read";
        return false;
      }
      in_space = space;
    }
    return false;
  }

  void SkipPast(std::string_view end) {
    const size_t found = html_.find(end, at_);
    at_ = found == std::string_view::npos ? html_.size() : found + end.size();
  }

  void SkipRaw(std::string_view name) {
    while (true) {
      const size_t end = html_.find("</", at_);
      if (end == std::string_view::npos) {
        at_ = html_.size();
        return;
      }
      at_ = end;
      size_t same = 0;
      while (same < name.size() && end + 2 + same < html_.size() && Lower(html_[end + 2 + same]) == name[same]) ++same;
      if (same == name.size()) return;
      at_ += 2;
    }
  }

  const std::string_view html_;
  size_t at_ = 0;
  uint32_t tags_ = 0;
  uint32_t depth_ = 0;
  uint32_t pictures_ = 0;  // open <svg> and <math>
  std::string clause_;
};

}  // namespace

HtmlCut GuardHtml(std::string_view html) {
  const std::string_view within = html.substr(0, kHtmlBytesMax);
  HtmlCut cut = Guard(within).Run();
  if (cut.clause.empty() && within.size() < html.size()) {
    // Not within a character; gumbo does not mind the middle of a tag.
    while (cut.bytes > 0 && (static_cast<unsigned char>(html[cut.bytes]) & 0xC0u) == 0x80u) --cut.bytes;
    cut.clause = "at most " + std::to_string(kHtmlBytesMax >> 20) + " MiB of an HTML file are read";
  }
  return cut;
}

}  // namespace carrel::retrieval::extract
