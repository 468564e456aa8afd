// Filters on attributes, from the JSON of a client to the documents that pass. Promised: what the gateway accepts, the
// retrieval service accepts too, as the same filter; and the index of attributes gives the documents that the filter
// holds for, no others.
#include <set>

#include "convert.h"
#include "fuzzer.h"
#include "gateway/messages/retrieval.h"
#include "gateway/openai/requests.h"
#include "gateway/types/error.h"
#include "retrieval/attribute_index.h"
#include "retrieval/filter.h"
#include "search_filter.h"

namespace carrel::fuzz {
namespace {

const std::vector<retrieval::Attributes>& Documents() {
  static const std::vector<retrieval::Attributes> documents = {
      {},
      {{"year", 2020.0}, {"kind", std::string("book")}},
      {{"year", 2021.5}, {"kind", std::string("letter")}, {"draft", true}},
      {{"year", std::string("2020")}, {"draft", false}},
      {{"", 1.0}, {"kind", std::string()}},
      {{"year", -0.0}, {"kind", std::string("\xC3\xA9t\xC3\xA9")}},
  };
  return documents;
}

void CheckAnswers(const retrieval::Filter& filter) {
  retrieval::AttributeIndex index;
  std::set<int64_t> expected, found;
  for (size_t i = 0; i < Documents().size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    index.Put(number, number, Documents()[i]);
    if (retrieval::Holds(filter, Documents()[i])) expected.insert(number);
  }
  index.ForEachContent(filter, [&](int64_t content) { found.insert(content); });
  // Planted: an index that forgets one of the documents where half of them pass.
  if (Planted() && found.size() == Documents().size() / 2) found.erase(found.begin());
  FUZZ_CHECK(found == expected);
}

}  // namespace

void Target(std::string_view input) {
  // As a message that some other client made: refused, or a filter.
  retrieval::v1::SearchRequest request;
  request.add_store_ids("vs_1");
  request.add_queries("q");
  if (request.mutable_filter()->ParseFromArray(input.data(), static_cast<int>(input.size()))) {
    const auto query = retrieval::SearchQueryFrom(request);
    if (query.ok()) CheckAnswers(*query->filter);
  }
  // As the JSON of a client.
  const auto parsed = gateway::openai::ParseStoreSearch(input);
  if (!parsed.ok()) FUZZ_CHECK(gateway::ErrorOf(parsed.status()).has_value());
  if (!parsed.ok() || !parsed->filter.has_value()) return;
  request.clear_filter();
  *request.mutable_filter() = gateway::ToProto(gateway::http::FilterOf(*parsed->filter));
  const auto query = retrieval::SearchQueryFrom(request);
  if (!query.ok()) std::fprintf(stderr, "%s\n", query.status().ToString().c_str());
  FUZZ_CHECK(query.ok() && query->filter.has_value());
  CheckAnswers(*query->filter);
}

}  // namespace carrel::fuzz
