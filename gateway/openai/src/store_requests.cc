// Vector stores and files.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/openai/requests.h"
#include "gateway/types/status_macros.h"
#include "request_parts.h"

namespace carrel::gateway::openai {
namespace {

constexpr size_t kNameMax = 256;
constexpr size_t kDescriptionMax = 512;
constexpr size_t kCreateFilesMax = 500;
constexpr size_t kBatchFilesMax = 2000;
constexpr size_t kQueriesMax = 8;
constexpr size_t kQueryMax = 4096;
constexpr size_t kFiltersMax = 100;
constexpr size_t kAttributeKeyMax = 64;  // characters
constexpr size_t kAttributeTextMax = 512;
constexpr int kFilterDepthMax = 8;
constexpr int64_t kExpirySecondsMin = 3600;
constexpr int64_t kExpirySecondsMax = 2'592'000;

using Items = std::vector<std::pair<const Json*, std::string>>;

std::optional<int> ReadExpiry(ObjectReader& reader) {
  auto expiry = reader.Object("expires_after");
  if (!expiry.has_value()) return std::nullopt;
  if (expiry->Find("anchor") == nullptr) expiry->Missing("anchor");
  expiry->Choice("anchor", {"last_active_at"});
  if (expiry->Find("days") == nullptr) expiry->Missing("days");
  std::optional<int64_t> days = expiry->Integer("days", {1, 365});
  expiry->Finish();
  return days.has_value() ? std::optional<int>(static_cast<int>(*days)) : std::nullopt;
}

NewStoreFile ReadStoreFile(ObjectReader& reader) {
  NewStoreFile file;
  file.file_id = FileId(reader.RequiredText("file_id"));
  file.attributes = reader.ReadAttributes().value_or(Attributes());
  file.chunking = ReadChunking(reader);
  reader.Finish();
  return file;
}

std::optional<AttributeValue> ScalarOf(const Json& value) {
  if (value.is_string()) return AttributeValue(value.get<std::string>());
  if (value.is_boolean()) return AttributeValue(value.get<bool>());
  if (value.is_number()) return AttributeValue(value.get<double>());
  return std::nullopt;
}

Filter ReadFilter(const Json& value, const std::string& path, int depth, absl::Status& error) {
  ObjectReader reader(value, path, error);
  Filter filter;
  if (reader.Find("type") == nullptr) reader.Missing("type");
  filter.type = reader.Choice("type", {"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"}).value_or("eq");
  if (filter.type == "and" || filter.type == "or") {
    auto items = reader.Array("filters", kFiltersMax);
    if (!items.has_value()) reader.Missing("filters");
    if (depth >= kFilterDepthMax) {
      reader.Fail(ErrorKind::kInvalidRequest, path, {absl::StrCat("Filters nest at most ", kFilterDepthMax, " deep.")});
      return filter;
    }
    if (items.has_value() && items->empty()) {
      reader.Fail(ErrorKind::kArrayTooShort, reader.PathOf("filters"), {"1", "0"});
    }
    for (const auto& [item, at] : items.value_or(Items())) {
      filter.filters.push_back(ReadFilter(*item, at, depth + 1, error));
    }
    reader.Finish();
    return filter;
  }
  filter.key = reader.RequiredText("key");
  if (filter.key.empty() || LengthOf(filter.key) > kAttributeKeyMax) {
    reader.Fail(ErrorKind::kInvalidRequest, reader.PathOf("key"),
                {absl::StrCat("'", reader.PathOf("key"), "' takes 1 to ", kAttributeKeyMax, " characters.")});
  }
  const Json* compared = reader.Find("value");
  if (compared == nullptr) reader.Missing("value");
  const bool many = filter.type == "in" || filter.type == "nin";
  if (compared != nullptr && many &&
      CheckType(*compared, compared->is_array(), "an array", reader.PathOf("value"), error)) {
    for (const Json& item : *compared) {
      if (auto scalar = ScalarOf(item)) filter.values.push_back(*std::move(scalar));
    }
    if (filter.values.size() != compared->size() || filter.values.empty() || filter.values.size() > kFiltersMax) {
      reader.Fail(ErrorKind::kInvalidRequest, reader.PathOf("value"),
                  {absl::StrCat("'", reader.PathOf("value"), "' takes 1 to ", kFiltersMax, " strings or numbers.")});
    }
  } else if (compared != nullptr && !many) {
    auto scalar = ScalarOf(*compared);
    if (CheckType(*compared, scalar.has_value(), "one of a string, a number, or a boolean", reader.PathOf("value"),
                  error)) {
      filter.values.push_back(*std::move(scalar));
    }
  }
  for (const AttributeValue& one : filter.values) {
    const auto* const text = std::get_if<std::string>(&one);
    if (text == nullptr || LengthOf(*text) <= kAttributeTextMax) continue;
    reader.Fail(ErrorKind::kStringTooLong, reader.PathOf("value"),
                {absl::StrCat(kAttributeTextMax), absl::StrCat(LengthOf(*text))});
  }
  reader.Finish();
  return filter;
}

}  // namespace

absl::StatusOr<NewStore> ParseNewStore(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    NewStore store;
    store.name = reader.Text("name", kNameMax);
    store.description = reader.Text("description", kDescriptionMax);
    for (std::string& id : reader.Texts("file_ids", kCreateFilesMax).value_or(std::vector<std::string>())) {
      store.files.push_back({.file_id = FileId(std::move(id))});
    }
    store.expires_after_days = ReadExpiry(reader);
    store.chunking = ReadChunking(reader);
    store.metadata = reader.ReadMetadata(ApiVersion::kV2).value_or(Metadata());
    return store;
  });
}

absl::StatusOr<StoreChange> ParseStoreChange(std::string_view body, bool carrel) {
  return Parse(body, [carrel](ObjectReader& reader) {
    StoreChange change;
    if (auto more = carrel ? reader.Object("x_carrel") : std::nullopt) {
      change.model = more->Text("model", kNameMax);
      more->Finish();
    }
    change.name = Changed(reader, "name", reader.Text("name", kNameMax));
    change.description = Changed(reader, "description", reader.Text("description", kDescriptionMax));
    change.expires_after_days = Changed(reader, "expires_after", ReadExpiry(reader));
    change.metadata = reader.ReadMetadata(ApiVersion::kV2);
    return change;
  });
}

absl::StatusOr<NewStoreFile> ParseNewStoreFile(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) { return ReadStoreFile(reader); });
}

absl::StatusOr<std::vector<NewStoreFile>> ParseNewBatch(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    std::vector<NewStoreFile> files;
    Attributes attributes = reader.ReadAttributes().value_or(Attributes());
    std::optional<Chunking> chunking = ReadChunking(reader);
    auto ids = reader.Texts("file_ids", kBatchFilesMax);
    auto objects = reader.Array("files", kBatchFilesMax);
    for (std::string& id : ids.value_or(std::vector<std::string>())) {
      files.push_back({.file_id = FileId(std::move(id)), .attributes = attributes, .chunking = chunking});
    }
    for (const auto& [value, path] : objects.value_or(Items())) {
      ObjectReader file(*value, path, reader.error());
      files.push_back(ReadStoreFile(file));
    }
    if (ids.has_value() && objects.has_value()) {
      reader.Fail(ErrorKind::kInvalidRequest, "file_ids", {"You cannot provide both file_ids and files."});
    } else if (!ids.has_value() && !objects.has_value()) {
      reader.Missing("file_ids");
    } else if (files.empty()) {
      reader.Fail(ErrorKind::kArrayTooShort, ids.has_value() ? "file_ids" : "files", {"1", "0"});
    }
    return files;
  });
}

absl::StatusOr<Attributes> ParseAttributesChange(std::string_view body) {
  return Parse(body, [](ObjectReader& reader) {
    if (!reader.Has("attributes")) reader.Missing("attributes");
    return reader.ReadAttributes().value_or(Attributes());
  });
}

absl::StatusOr<StoreSearchRequest> ParseStoreSearch(std::string_view body, bool carrel) {
  return Parse(body, [carrel](ObjectReader& reader) {
    StoreSearchRequest request;
    const Json* query = reader.Find("query");
    if (query == nullptr) {
      reader.Missing("query");
    } else if (query->is_string()) {
      request.queries.push_back(reader.Text("query", kQueryMax).value_or(""));
    } else {
      request.queries = reader.Texts("query", kQueriesMax).value_or(std::vector<std::string>());
      if (request.queries.empty()) reader.Fail(ErrorKind::kArrayTooShort, "query", {"1", "0"});
    }
    request.max_num_results = static_cast<int>(reader.Integer("max_num_results", {1, 50}).value_or(10));
    if (const Json* filters = reader.Find("filters")) {
      request.filter = ReadFilter(*filters, "filters", 1, reader.error());
    }
    if (auto ranking = reader.Object("ranking_options")) {
      request.ranking.ranker =
          ranking->Choice("ranker", {"none", "auto", "default-2024-11-15", "default_2024_08_21"}).value_or("auto");
      request.ranking.score_threshold = ranking->Number("score_threshold", {0, 1}).value_or(0);
      ranking->Finish();
    }
    if (auto more = carrel ? reader.Object("x_carrel") : std::nullopt) {
      if (const auto k = more->Integer("rrf_k", {1, 1000})) request.ranking.rrf_k = static_cast<int>(*k);
      more->Finish();
    }
    reader.Flag("rewrite_query");
    return request;
  });
}

absl::StatusOr<std::optional<absl::Duration>> ParseFileExpiry(const std::string& anchor, const std::string& seconds) {
  if (anchor.empty() && seconds.empty()) return std::optional<absl::Duration>();
  if (anchor != "created_at") {
    return MakeError(ErrorKind::kInvalidValue, "expires_after.anchor", {anchor, "created_at"});
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(seconds, &count)) {
    return MakeError(ErrorKind::kWrongType, "expires_after.seconds", {"an integer", "a string"});
  }
  if (count > kExpirySecondsMax) {
    return MakeError(ErrorKind::kNumberAboveMax, "expires_after.seconds",
                     {"integer", absl::StrCat(kExpirySecondsMax), seconds});
  }
  if (count < kExpirySecondsMin) {
    return MakeError(ErrorKind::kNumberBelowMin, "expires_after.seconds",
                     {"integer", absl::StrCat(kExpirySecondsMin), seconds});
  }
  return std::optional<absl::Duration>(absl::Seconds(count));
}

}  // namespace carrel::gateway::openai
