// Targets of requests: paths, queries, cursors, versions. Promised: valid UTF-8 whatever came, a limit within its
// bounds, a route only with the ids that its pattern names, and errors that have their words.
#include <nlohmann/json.hpp>

#include "fuzzer.h"
#include "gateway/openai/errors.h"
#include "handlers.h"
#include "routes.h"

namespace carrel::fuzz {
namespace {

bool IsUtf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

void Target(std::string_view input) {
  using namespace gateway::http;  // NOLINT: one file, one subject
  Bytes bytes(input);
  const uint8_t which = bytes.Byte();
  std::string_view target = bytes.Rest();
  constexpr const char* kMethods[] = {"GET", "POST", "DELETE", "PUT"};
  size_t question = target.find('?');
  Request request;
  request.method = kMethods[which % 4];
  request.admin = (which & 4) != 0;
  request.url_path = std::string(target.substr(0, question));
  request.path = std::string(BelowBase(request.url_path));
  if (question != std::string_view::npos) request.query = Query(target.substr(question + 1));

  auto route = FindRoute(request);
  if (route.ok()) {
    FUZZ_CHECK(request.method == (*route)->method && ((*route)->admin ? request.admin : true));
    std::string_view pattern = (*route)->path;
    FUZZ_CHECK(request.ids.size() == static_cast<size_t>(std::count(pattern.begin(), pattern.end(), '{')));
    for (const auto& [name, id] : request.ids) FUZZ_CHECK(IsUtf8(id));
  } else {
    auto error = gateway::openai::RenderError(route.status(), "req_1");
    FUZZ_CHECK(error.status == 404 || error.status == 405 || error.status == 400);
    FUZZ_CHECK((error.status == 405) == (!request.allowed.empty() && error.status != 400));
    FUZZ_CHECK(!nlohmann::json::parse(error.body, nullptr, false).is_discarded());
  }
  auto page = PageOf(request.query, 20, 100);
  if (page.ok()) {
    FUZZ_CHECK(page->limit >= 1 && page->limit <= 100);
    FUZZ_CHECK(IsUtf8(page->after) && IsUtf8(page->before));
  } else {
    auto error = gateway::openai::RenderError(page.status(), "req_1");
    FUZZ_CHECK(error.status == 400 && !nlohmann::json::parse(error.body, nullptr, false).is_discarded());
  }
  for (const std::string& value : request.query.All("include")) FUZZ_CHECK(IsUtf8(value));
  (void)VersionOf(target, request.query.Get("api-version").value_or(""));
}

}  // namespace carrel::fuzz
