// carrel search: the passages that answer a question, with where they stand.
#include "absl/strings/str_format.h"
#include "api_command.h"
#include "citation_text.h"
#include "cli/commands.h"
#include "stores.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// A hit by the names of carrel.retrieval.v1: what OpenAI's answer has, and what stands in x_carrel beside it.
Json HitOf(const Json& found) {
  Json hit = Below(found, "x_carrel").is_object() ? Below(found, "x_carrel") : Json::object();
  hit["file_id"] = Text(found, "file_id");
  hit["file_name"] = Text(found, "filename");
  hit["score"] = Below(found, "score");
  hit["attributes"] = Below(found, "attributes");
  if (!hit.contains("passage")) {
    std::string passage;
    for (const Json& part : Below(found, "content")) passage += Text(part, "text");
    hit["passage"] = passage;
  }
  return hit;
}

void PrintHit(size_t rank, const Json& hit, Console& console) {
  const Json& citations = Below(hit, "citations");
  const Json& best = citations.is_array() && !citations.empty() ? citations.front() : Json::object();
  const std::string heading = Text(hit, "heading");
  const double score = Below(hit, "score").is_number() ? Below(hit, "score").get<double>() : 0;
  const std::string pages = PagesOf(best);
  console.Print(StrCat(rank, ". ", absl::StrFormat("%.3f", score), "  ", SafeText(Text(hit, "file_name"), false),
                       pages.empty() ? "" : ", ", pages,
                       heading.empty() ? "" : StrCat("  [", SafeText(heading, false), "]")));
  const std::string quote = Text(best, "quote");
  console.Print(StrCat("   \"", OneLine(quote.empty() ? Text(hit, "passage") : quote), "\""));
}

absl::StatusOr<ExitCode> SearchStore(ApiClient& api, const SearchOptions& options, Console& console) {
  const auto store = FindStore(api, options.store);
  if (!store.ok()) return store.status();
  const auto page =
      api.Post(StorePath(*store, "/search"), {{"query", options.question}, {"max_num_results", options.results_max}});
  if (!page.ok()) return page.status();
  Json hits = Json::array();
  for (const Json& found : Below(*page, "data")) hits.push_back(HitOf(found));
  for (size_t i = 0; i < hits.size(); ++i) PrintHit(i + 1, hits[i], console);
  if (hits.empty()) console.Say("nothing found");
  console.PrintJsonText(Dump({{"hits", std::move(hits)}}));
  return ExitCode::kOk;
}

}  // namespace

ExitCode Search(const CommonOptions& common, const SearchOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) { return SearchStore(api, options, console); });
}

}  // namespace carrel::cli
