// carrel search, and how a store is found by name or id.
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "rpc/status.h"
#include "stores.h"
#include "strings.h"

namespace carrel::cli {
namespace {

namespace v1 = retrieval::v1;

std::string Pages(const v1::Citation& citation) {
  if (citation.first_page() == 0) return "";
  const auto label = [](uint32_t page, const std::string& printed) {
    const std::string number = std::to_string(page);
    return printed.empty() || printed == number ? number : StrCat(number, " (", printed, ")");
  };
  const std::string first = label(citation.first_page(), citation.first_page_label());
  if (citation.last_page() <= citation.first_page()) return StrCat(", page ", first);
  return StrCat(", pages ", first, " to ", label(citation.last_page(), citation.last_page_label()));
}

void PrintHit(int rank, const v1::Hit& hit, Console& console) {
  console.Print(StrCat(rank, ". ", absl::StrFormat("%.3f", hit.score()), "  ", SafeText(hit.file_name(), false),
                       hit.citations().empty() ? "" : Pages(hit.citations(0)),
                       hit.heading().empty() ? "" : StrCat("  [", SafeText(hit.heading(), false), "]")));
  const std::string& quote = hit.citations().empty() ? hit.passage() : hit.citations(0).quote();
  std::string line = "   \"";
  for (const char c : quote) line += c == '\n' ? ' ' : c;
  console.Print(StrCat(SafeText(line, false), "\""));
}

absl::Status SearchOrStatus(const CommonOptions& common, const SearchOptions& options, Console& console) {
  const auto place = FindPlace(common);
  if (!place.ok()) return place.status();
  auto channel = Connect(*place, Part::kRetrieval);
  if (!channel.ok()) return channel.status();
  v1::Retrieval::Stub stub(*channel);
  const auto store = FindStore(stub, options.store);
  if (!store.ok()) return store.status();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(2)));
  v1::SearchRequest request;
  request.add_store_ids(store->store_id());
  request.add_queries(options.question);
  request.set_max_results(options.results_max);
  v1::SearchResponse response;
  if (const grpc::Status status = stub.Search(&context, request, &response); !status.ok()) {
    return rpc::FromGrpc(status, context);
  }
  console.PrintJson(response);
  for (int i = 0; i < response.hits_size(); ++i) PrintHit(i + 1, response.hits(i), console);
  if (response.hits().empty()) console.Say("nothing found");
  return absl::OkStatus();
}

}  // namespace

ExitCode Search(const CommonOptions& common, const SearchOptions& options, Console& console) {
  const absl::Status status = SearchOrStatus(common, options, console);
  if (!status.ok()) console.Fail(status);
  return ExitCodeOf(status);
}

}  // namespace carrel::cli
