// A bug that the fuzzer must find, or it finds nothing: a length that is believed.
#include "fuzzer.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  // "LEN:<digits>:<that many bytes>"
  size_t at = input.find("LEN:");
  if (at == std::string_view::npos) return;
  std::string_view rest = input.substr(at + 4);
  size_t length = 0;
  while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
    length = length * 10 + static_cast<size_t>(rest.front() - '0');
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest.front() != ':') return;
  FUZZ_CHECK(length <= rest.size() - 1);
}

}  // namespace carrel::fuzz
