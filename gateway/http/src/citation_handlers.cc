// Citations of spans, and pages of documents as pictures: what Carrel has beside OpenAI's API.
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "gateway/openai/responses.h"
#include "gateway/ports/search_tool.h"
#include "handlers.h"

namespace carrel::gateway::http {
namespace {

template <typename Number>
std::optional<Number> NumberOf(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

absl::Status Expected(const char* param, std::string_view what, const std::string& came) {
  return MakeError(ErrorKind::kInvalidRequest, param,
                   {std::string("Invalid '") + param + "': '" + came + "'. Expected " + std::string(what) + "."});
}

// "BEGIN:END", in code points of the document's text.
absl::StatusOr<TextSpan> SpanOf(const std::string& text) {
  const std::string_view view = text;
  const size_t colon = view.find(':');
  if (colon != view.npos) {
    const auto begin = NumberOf<uint64_t>(view.substr(0, colon));
    const auto end = NumberOf<uint64_t>(view.substr(colon + 1));
    if (begin && end && *begin < *end) return TextSpan{.begin = *begin, .end = *end};
  }
  return Expected("span", "BEGIN:END in characters of the document's text, BEGIN below END", text);
}

}  // namespace

Answer CiteFile(Api& api, Request& request) {
  const std::optional<std::string> text = request.query.Get("span");
  if (!text) return MakeError(ErrorKind::kParameterMissing, "span", {});
  GATEWAY_ASSIGN_OR_RETURN(const TextSpan span, SpanOf(*text));
  GATEWAY_ASSIGN_OR_RETURN(
      const Citation citation,
      api.stores.Cite(request.project, StoreId(request.Id("vector_store_id")), FileId(request.Id("file_id")), span));
  return Json(openai::RenderCitation(citation));
}

// "3.png": page 3.
Answer DrawFilePage(Api& api, Request& request) {
  constexpr std::string_view kPng = ".png";
  constexpr int kPageMax = 1'000'000;
  PictureRequest wanted{.project = request.project,
                        .store = StoreId(request.Id("vector_store_id")),
                        .file = FileId(request.Id("file_id"))};
  std::string_view name = request.Id("picture");
  if (!name.ends_with(kPng)) return MakeError(ErrorKind::kUrlUnknown, "", {request.method, request.url_path});
  name.remove_suffix(kPng.size());
  const std::optional<int> page = NumberOf<int>(name);
  if (!page || *page < 1 || *page > kPageMax) return Expected("page", "a page's number, from 1", std::string(name));
  wanted.page = *page;
  if (const auto text = request.query.Get("span")) {
    GATEWAY_ASSIGN_OR_RETURN(wanted.span, SpanOf(*text));
  }
  if (const auto text = request.query.Get("dpi")) {
    const std::optional<int> dpi = NumberOf<int>(*text);
    if (!dpi || *dpi < 0) return Expected("dpi", "18 to 600", *text);
    wanted.dpi = *dpi;
  }
  GATEWAY_ASSIGN_OR_RETURN(PagePicture picture, api.stores.RenderPage(wanted));
  return Response{.status = 200, .body = BytesBody{.bytes = std::move(picture.png), .content_type = "image/png"}};
}

}  // namespace carrel::gateway::http
