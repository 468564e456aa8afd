#include "retrieval/annotate.h"

#include <charconv>

namespace carrel::retrieval {
namespace {

constexpr std::string_view kOpen = "【";
constexpr std::string_view kClose = "】";
constexpr std::string_view kDagger = "†";
constexpr size_t kMarkerBytesMax = 512;

uint32_t CodePoints(std::string_view utf8) {
  uint32_t n = 0;
  for (const char c : utf8) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

// A run of digits at the front of `text`, taken off; unset: there is none. Too large a number names no hit.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  text.remove_prefix(digits);
  return error == std::errc() ? value : UINT32_MAX;
}

// j of "i:j†name"; unset: not a marker.
std::optional<uint32_t> HitOf(std::string_view inner) {
  // One within another would be two markers over the same characters: the inner one counts.
  if (inner.find(kOpen) != inner.npos) return std::nullopt;
  if (!TakeNumber(inner) || !inner.starts_with(':')) return std::nullopt;
  inner.remove_prefix(1);
  const std::optional<uint32_t> hit = TakeNumber(inner);
  if (!hit || !(inner.empty() || inner.starts_with(kDagger))) return std::nullopt;
  return hit;
}

}  // namespace

std::vector<Marker> FindMarkers(std::string_view utf8, uint32_t hits) {
  std::vector<Marker> out;
  uint32_t offset = 0;  // code points before `counted`
  size_t counted = 0;
  for (size_t open = utf8.find(kOpen); open != utf8.npos; open = utf8.find(kOpen, open + kOpen.size())) {
    const std::string_view window = utf8.substr(open, kMarkerBytesMax);
    const size_t close = window.find(kClose);
    if (close == window.npos) continue;
    const std::optional<uint32_t> hit = HitOf(window.substr(kOpen.size(), close - kOpen.size()));
    if (!hit) continue;
    const std::string_view text = window.substr(0, close + kClose.size());
    offset += CodePoints(utf8.substr(counted, open - counted));
    counted = open;
    Marker marker{.span = {offset, offset + CodePoints(text)}, .text = std::string(text)};
    if (*hit < hits) marker.hit = *hit;
    out.push_back(std::move(marker));
  }
  return out;
}

}  // namespace carrel::retrieval
