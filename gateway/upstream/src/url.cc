#include "gateway/upstream/url.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

absl::Status Bad(const std::string& why) { return absl::InvalidArgumentError(absl::StrCat("not a usable URL: ", why)); }

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

}  // namespace

std::string Url::Authority() const {
  const std::string name = host.find(':') != std::string::npos ? absl::StrCat("[", host, "]") : host;
  return port == (tls ? 443 : 80) ? name : absl::StrCat(name, ":", port);
}

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  if (text.size() > 2048) return Bad("longer than 2048 bytes");
  if (!std::all_of(text.begin(), text.end(), IsVisible)) return Bad("it holds a space, a control or a non-ASCII byte");
  Url url;
  const auto scheme_end = text.find("://");
  const std::string scheme = absl::AsciiStrToLower(std::string(text.substr(0, scheme_end)));
  if (scheme_end == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return Bad("it must begin with http:// or https://");
  }
  url.tls = scheme == "https";
  url.port = url.tls ? 443 : 80;
  text.remove_prefix(scheme_end + 3);
  if (text.find_first_of("?#") != std::string_view::npos) return Bad("a query or a fragment has no place in a base");
  const auto path_begin = std::min(text.find('/'), text.size());
  std::string_view authority = text.substr(0, path_begin);
  url.path = text.substr(path_begin);
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    url.user_info = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return Bad("an IPv6 address without its closing bracket");
    url.host = absl::AsciiStrToLower(std::string(authority.substr(1, close - 1)));
    port = authority.substr(close + 1);
  } else {
    const auto colon = std::min(authority.find(':'), authority.size());
    url.host = absl::AsciiStrToLower(std::string(authority.substr(0, colon)));
    port = authority.substr(colon);
  }
  if (url.host.empty()) return Bad("it names no host");
  if (!port.empty()) {
    std::uint32_t number = 0;
    if (port.front() != ':' || !absl::SimpleAtoi(std::string(port.substr(1)), &number) || number == 0 ||
        number > 65535) {
      return Bad("the port is not a number from 1 to 65535");
    }
    url.port = static_cast<std::uint16_t>(number);
  }
  return url;
}

}  // namespace carrel::gateway
