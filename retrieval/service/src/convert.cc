#include "convert.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "rpc/status.h"

namespace carrel::retrieval {
namespace {

// The limits of the contract (retrieval.proto names each).
constexpr size_t kOwnerBytesMax = 128;
constexpr uint64_t kCitedCharactersMax = 20'000;
constexpr size_t kStoreNameBytesMax = 256;
constexpr size_t kFileNameBytesMax = 255;
constexpr size_t kIdBytesMax = 64;
constexpr uint32_t kExpiryDaysMax = 365;
constexpr uint32_t kChunkTokensMin = 100;
constexpr uint32_t kChunkTokensMax = 4096;
constexpr uint32_t kOverlapDefaultMax = 400;
constexpr int kAttributesMax = 16;
// 64 and 512 characters.
constexpr size_t kAttributeKeyBytesMax = 256;
constexpr size_t kAttributeTextBytesMax = 2048;
constexpr uint32_t kListMax = 1000;
constexpr int kStoresMax = 16;
constexpr int kQueriesMax = 8;
constexpr size_t kQueryBytesMax = 4096;
constexpr uint32_t kResultsMax = 50;
constexpr uint32_t kRrfMax = 1000;
constexpr int kFilterWidthMax = 100;
constexpr int kFilterDepthMax = 8;

absl::Status Invalid(std::string_view field, const auto& value, std::string_view expected) {
  return rpc::InvalidField(field, absl::StrCat(value), expected);
}

absl::Status Length(std::string_view field, const std::string& value, size_t max) {
  if (value.size() <= max) return absl::OkStatus();
  return rpc::InvalidField(field, value, absl::StrCat("at most ", max, " bytes"));
}

void ToProto(const AttributeValue& value, v1::AttributeValue& out) {
  if (const auto* text = std::get_if<std::string>(&value)) out.set_text(*text);
  if (const auto* number = std::get_if<double>(&value)) out.set_number(*number);
  if (const auto* flag = std::get_if<bool>(&value)) out.set_flag(*flag);
}

void ToProto(const Attributes& attributes, google::protobuf::Map<std::string, v1::AttributeValue>& out) {
  for (const auto& [key, value] : attributes) ToProto(value, out[key]);
}

void ToProto(const Chunking& chunking, v1::Chunking& out) {
  out.set_max_chunk_size_tokens(chunking.max_tokens);
  out.set_chunk_overlap_tokens(chunking.overlap_tokens);
}

void ToProto(const Span& span, v1::Span& out) {
  out.set_begin(span.begin);
  out.set_end(span.end);
}

v1::DocumentStatus ToProto(DocumentStatus status) {
  switch (status) {
    case DocumentStatus::kInProgress:
      return v1::IN_PROGRESS;
    case DocumentStatus::kCompleted:
      return v1::COMPLETED;
    case DocumentStatus::kFailed:
      return v1::FAILED;
  }
  return v1::DOCUMENT_STATUS_UNSPECIFIED;
}

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kQueued:
      return "queued";
    case Phase::kExtracting:
      return "extracting";
    case Phase::kEmbedding:
      return "embedding";
    case Phase::kDone:
      return "done";
  }
  return "";
}

absl::StatusOr<AttributeValue> AttributeFrom(const std::string& field, const v1::AttributeValue& value) {
  switch (value.value_case()) {
    case v1::AttributeValue::kText:
      if (absl::Status status = Length(field, value.text(), kAttributeTextBytesMax); !status.ok()) return status;
      return AttributeValue(value.text());
    case v1::AttributeValue::kNumber:
      if (!std::isfinite(value.number())) return Invalid(field, value.number(), "a finite number");
      return AttributeValue(value.number());
    case v1::AttributeValue::kFlag:
      return AttributeValue(value.flag());
    case v1::AttributeValue::VALUE_NOT_SET:
      break;
  }
  return Invalid(field, "", "a text, a number or a flag");
}

absl::StatusOr<Filter> FilterFrom(const std::string& field, const v1::Filter& filter, int depth);

absl::StatusOr<Filter> ComparisonFrom(const std::string& field, const v1::Comparison& comparison) {
  if (comparison.key().empty()) return Invalid(field + ".key", "", "the key of an attribute");
  if (absl::Status status = Length(field + ".key", comparison.key(), kAttributeKeyBytesMax); !status.ok())
    return status;
  if (comparison.op() < v1::Comparison::EQ || comparison.op() > v1::Comparison::NIN) {
    return Invalid(field + ".op", static_cast<int>(comparison.op()), "EQ, NE, GT, GTE, LT, LTE, IN or NIN");
  }
  const bool many = comparison.op() == v1::Comparison::IN || comparison.op() == v1::Comparison::NIN;
  const int values = comparison.values_size();
  if (values < 1 || values > (many ? kFilterWidthMax : 1)) {
    return Invalid(field + ".values", values, many ? "1 to 100 values" : "one value");
  }
  Comparison out{.key = comparison.key(), .op = static_cast<Comparison::Operator>(comparison.op())};
  for (int i = 0; i < values; ++i) {
    absl::StatusOr<AttributeValue> value = AttributeFrom(absl::StrCat(field, ".values[", i, "]"), comparison.values(i));
    if (!value.ok()) return value.status();
    out.values.push_back(*std::move(value));
  }
  return Filter{.kind = std::move(out)};
}

absl::StatusOr<Filter> CompoundFrom(const std::string& field, const v1::Compound& compound, int depth) {
  if (compound.op() != v1::Compound::AND && compound.op() != v1::Compound::OR) {
    return Invalid(field + ".op", static_cast<int>(compound.op()), "AND or OR");
  }
  if (compound.filters_size() < 1 || compound.filters_size() > kFilterWidthMax) {
    return Invalid(field + ".filters", compound.filters_size(), "1 to 100 filters");
  }
  Compound out{.op = static_cast<Compound::Operator>(compound.op())};
  for (int i = 0; i < compound.filters_size(); ++i) {
    absl::StatusOr<Filter> inner = FilterFrom(absl::StrCat(field, ".filters[", i, "]"), compound.filters(i), depth + 1);
    if (!inner.ok()) return inner.status();
    out.filters.push_back(*std::move(inner));
  }
  return Filter{.kind = std::move(out)};
}

absl::StatusOr<Filter> FilterFrom(const std::string& field, const v1::Filter& filter, int depth) {
  if (depth > kFilterDepthMax) return Invalid(field, depth, "filters nested at most 8 deep");
  if (filter.has_comparison()) return ComparisonFrom(field + ".comparison", filter.comparison());
  if (filter.has_compound()) return CompoundFrom(field + ".compound", filter.compound(), depth);
  return Invalid(field, "", "a comparison or a compound");
}

absl::StatusOr<Ranking> RankingFrom(const v1::Ranking& ranking) {
  Ranking out;
  const std::string& ranker = ranking.ranker();
  if (ranker == "none") {
    out.ranker = Ranking::Ranker::kNone;
  } else if (!ranker.empty() && ranker != "auto" && ranker != "default-2024-11-15" && ranker != "default_2024_08_21") {
    return Invalid("ranking.ranker", ranker, "auto, none, default-2024-11-15 or default_2024_08_21");
  }
  out.score_threshold = ranking.score_threshold();
  if (!(out.score_threshold >= 0 && out.score_threshold <= 1)) {
    return Invalid("ranking.score_threshold", out.score_threshold, "0 to 1");
  }
  if (ranking.has_embedding_weight()) out.embedding_weight = ranking.embedding_weight();
  if (ranking.has_text_weight()) out.text_weight = ranking.text_weight();
  for (const auto& [field, weight] : {std::pair("ranking.embedding_weight", out.embedding_weight),
                                      std::pair("ranking.text_weight", out.text_weight)}) {
    if (!(weight >= 0 && std::isfinite(weight))) return Invalid(field, weight, "0 or more");
  }
  if (out.embedding_weight == 0 && out.text_weight == 0) {
    return Invalid("ranking.embedding_weight", 0, "more than 0, when text_weight is 0");
  }
  if (ranking.rrf_k() > kRrfMax) return Invalid("ranking.rrf_k", ranking.rrf_k(), "1 to 1000");
  if (ranking.rrf_k() != 0) out.rrf_k = ranking.rrf_k();
  return out;
}

}  // namespace

void ToProto(const StoreInfo& store, v1::Store& out) {
  out.set_store_id(store.id);
  out.set_owner(store.owner);
  out.set_name(store.name);
  ToProto(store.chunking, *out.mutable_chunking());
  out.set_model(store.model);
  out.set_expires_after_days(store.expires_after_days);
  out.set_created_at_ms(store.created_ms);
  out.set_last_active_at_ms(store.last_active_ms);
  if (store.expires_after_days > 0) {
    out.set_expires_at_ms(store.last_active_ms + int64_t{store.expires_after_days} * 86'400'000);
  }
  v1::Counts& counts = *out.mutable_documents();
  counts.set_in_progress(store.documents.in_progress);
  counts.set_completed(store.documents.completed);
  counts.set_failed(store.documents.failed);
  counts.set_total(store.documents.in_progress + store.documents.completed + store.documents.failed);
  out.set_passages(store.passages);
  out.set_usage_bytes(store.usage_bytes);
  if (!store.reembedding) return;
  v1::Reembedding& reembedding = *out.mutable_reembedding();
  reembedding.set_model(store.reembedding->model);
  reembedding.set_documents_done(store.reembedding->documents_done);
  reembedding.set_documents(store.reembedding->documents);
  reembedding.set_embedded(store.reembedding->embedded);
  reembedding.set_to_embed(store.reembedding->to_embed);
  reembedding.set_documents_failed(store.reembedding->documents_failed);
  reembedding.set_message(store.reembedding->message);
}

void ToProto(const DocumentInfo& document, v1::Document& out) {
  out.set_document_id(document.id);
  out.set_store_id(document.store_id);
  out.set_file_name(document.file_name);
  out.set_size_bytes(document.size_bytes);
  out.set_sha256(document.sha256);
  out.set_status(ToProto(document.status));
  // The numbers agree by contract (extraction.h).
  if (document.verdict) out.set_verdict(static_cast<v1::Verdict>(*document.verdict));
  out.set_message(document.message);
  ToProto(document.attributes, *out.mutable_attributes());
  ToProto(document.chunking, *out.mutable_chunking());
  out.set_created_at_ms(document.created_ms);
  out.set_pages(document.pages);
  out.set_characters(document.characters);
  out.set_passages(document.passages);
  out.set_usage_bytes(document.usage_bytes);
  v1::Progress& progress = *out.mutable_progress();
  progress.set_phase(PhaseName(document.progress.phase));
  progress.set_pages_done(document.progress.pages_done);
  progress.set_pages(document.progress.pages);
  progress.set_embedded(document.progress.embedded);
  progress.set_to_embed(document.progress.to_embed);
}

void ToProto(const Citation& citation, v1::Citation& out) {
  out.set_quote(citation.quote);
  ToProto(citation.span, *out.mutable_span());
  out.set_first_page(citation.first_page);
  out.set_last_page(citation.last_page);
  out.set_first_page_label(citation.first_page_label);
  out.set_last_page_label(citation.last_page_label);
  out.set_recognised(citation.recognised);
  for (const PageBox& box : citation.boxes) {
    v1::Box& drawn = *out.add_boxes();
    drawn.set_page(box.page);
    drawn.set_x_min(box.box.x_min);
    drawn.set_y_min(box.box.y_min);
    drawn.set_x_max(box.box.x_max);
    drawn.set_y_max(box.box.y_max);
  }
}

void ToProto(const Hit& hit, v1::Hit& out) {
  out.set_store_id(hit.store_id);
  out.set_document_id(hit.document_id);
  out.set_file_name(hit.file_name);
  ToProto(hit.attributes, *out.mutable_attributes());
  out.set_score(hit.score);
  out.set_vector_score(hit.vector_score);
  out.set_vector_rank(hit.vector_rank);
  out.set_text_score(hit.text_score);
  out.set_text_rank(hit.text_rank);
  out.set_passage(hit.passage);
  ToProto(hit.passage_span, *out.mutable_passage_span());
  out.set_heading(hit.heading);
  for (const Citation& citation : hit.citations) ToProto(citation, *out.add_citations());
}

absl::Status CheckOwner(const std::string& owner) { return Length("owner", owner, kOwnerBytesMax); }

absl::Status CheckId(const char* field, const std::string& id) {
  const bool good = !id.empty() && id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return good ? absl::OkStatus() : rpc::InvalidField(field, id, "1 to 64 of [A-Za-z0-9_-]");
}

absl::StatusOr<Chunking> ChunkingFrom(const v1::Chunking& chunking) {
  Chunking out;
  if (chunking.max_chunk_size_tokens() != 0) out.max_tokens = chunking.max_chunk_size_tokens();
  if (out.max_tokens < kChunkTokensMin || out.max_tokens > kChunkTokensMax) {
    return Invalid("chunking.max_chunk_size_tokens", out.max_tokens, "100 to 4096");
  }
  out.overlap_tokens = chunking.has_chunk_overlap_tokens() ? chunking.chunk_overlap_tokens()
                                                           : std::min(out.max_tokens / 2, kOverlapDefaultMax);
  if (out.overlap_tokens > out.max_tokens / 2) {
    return Invalid("chunking.chunk_overlap_tokens", out.overlap_tokens,
                   absl::StrCat("0 to ", out.max_tokens / 2, ", half of max_chunk_size_tokens"));
  }
  return out;
}

absl::StatusOr<NewStore> NewStoreFrom(const v1::CreateStoreRequest& request) {
  if (absl::Status status = CheckOwner(request.owner()); !status.ok()) return status;
  if (absl::Status status = Length("name", request.name(), kStoreNameBytesMax); !status.ok()) return status;
  if (request.expires_after_days() > kExpiryDaysMax) {
    return Invalid("expires_after_days", request.expires_after_days(), "0 to 365");
  }
  if (!request.store_id().empty()) {
    if (absl::Status status = CheckId("store_id", request.store_id()); !status.ok()) return status;
  }
  absl::StatusOr<Chunking> chunking = ChunkingFrom(request.chunking());
  if (!chunking.ok()) return chunking.status();
  return NewStore{.owner = request.owner(),
                  .name = request.name(),
                  .chunking = *chunking,
                  .model = request.model(),
                  .expires_after_days = request.expires_after_days(),
                  .id = request.store_id()};
}

absl::StatusOr<Span> CitedSpanFrom(const v1::Span& span) {
  if (span.begin() < span.end() && span.end() - span.begin() <= kCitedCharactersMax && span.end() <= UINT32_MAX) {
    return Span{static_cast<uint32_t>(span.begin()), static_cast<uint32_t>(span.end())};
  }
  return Invalid("span", absl::StrCat(span.begin(), ":", span.end()),
                 absl::StrCat("begin < end, at most ", kCitedCharactersMax, " characters of the document"));
}

absl::StatusOr<StoreChange> StoreChangeFrom(const v1::UpdateStoreRequest& request) {
  StoreChange out;
  if (request.has_name()) {
    if (absl::Status status = Length("name", request.name(), kStoreNameBytesMax); !status.ok()) return status;
    out.name = request.name();
  }
  if (request.has_expires_after_days()) {
    if (request.expires_after_days() > kExpiryDaysMax) {
      return Invalid("expires_after_days", request.expires_after_days(), "0 to 365");
    }
    out.expires_after_days = request.expires_after_days();
  }
  if (request.has_model()) out.model = request.model();
  return out;
}

absl::StatusOr<Attributes> AttributesFrom(const google::protobuf::Map<std::string, v1::AttributeValue>& attributes) {
  if (attributes.size() > kAttributesMax) return Invalid("attributes", attributes.size(), "at most 16");
  Attributes out;
  for (const auto& [key, value] : attributes) {
    if (key.empty() || key.size() > kAttributeKeyBytesMax) return Invalid("attributes", key, "keys of 1 to 256 bytes");
    absl::StatusOr<AttributeValue> attribute = AttributeFrom(absl::StrCat("attributes.", key), value);
    if (!attribute.ok()) return attribute.status();
    out[key] = *std::move(attribute);
  }
  return out;
}

absl::StatusOr<NewDocument> NewDocumentFrom(const v1::AddDocumentHeader& header) {
  if (absl::Status status = CheckOwner(header.owner()); !status.ok()) return status;
  const std::string& name = header.file_name();
  if (name.empty() || name.size() > kFileNameBytesMax || name.find('/') != name.npos) {
    return Invalid("header.file_name", name, "a name of 1 to 255 bytes without '/'");
  }
  if (!header.document_id().empty()) {
    if (absl::Status status = CheckId("header.document_id", header.document_id()); !status.ok()) return status;
  }
  absl::StatusOr<Attributes> attributes = AttributesFrom(header.attributes());
  if (!attributes.ok()) return attributes.status();
  NewDocument out{.owner = header.owner(),
                  .store_id = header.store_id(),
                  .file_name = name,
                  .id = header.document_id(),
                  .attributes = *std::move(attributes)};
  if (header.has_chunking()) {
    absl::StatusOr<Chunking> chunking = ChunkingFrom(header.chunking());
    if (!chunking.ok()) return chunking.status();
    out.chunking = *chunking;
  }
  return out;
}

absl::StatusOr<DocumentList> DocumentListFrom(const v1::ListDocumentsRequest& request) {
  if (absl::Status status = CheckOwner(request.owner()); !status.ok()) return status;
  if (request.limit() > kListMax) return Invalid("limit", request.limit(), "1 to 1000");
  DocumentList out{.owner = request.owner(), .store_id = request.store_id(), .after = request.after()};
  if (request.limit() != 0) out.limit = request.limit();
  switch (request.status()) {
    case v1::DOCUMENT_STATUS_UNSPECIFIED:
      break;
    case v1::IN_PROGRESS:
      out.status = DocumentStatus::kInProgress;
      break;
    case v1::COMPLETED:
      out.status = DocumentStatus::kCompleted;
      break;
    case v1::FAILED:
      out.status = DocumentStatus::kFailed;
      break;
    default:
      return Invalid("status", static_cast<int>(request.status()), "IN_PROGRESS, COMPLETED or FAILED");
  }
  return out;
}

absl::StatusOr<SearchQuery> SearchQueryFrom(const v1::SearchRequest& request) {
  if (absl::Status status = CheckOwner(request.owner()); !status.ok()) return status;
  if (request.store_ids_size() < 1 || request.store_ids_size() > kStoresMax) {
    return Invalid("store_ids", request.store_ids_size(), "1 to 16 stores");
  }
  if (request.queries_size() < 1 || request.queries_size() > kQueriesMax) {
    return Invalid("queries", request.queries_size(), "1 to 8 queries");
  }
  SearchQuery out{.owner = request.owner(),
                  .store_ids = {request.store_ids().begin(), request.store_ids().end()},
                  .queries = {request.queries().begin(), request.queries().end()}};
  for (size_t i = 0; i < out.queries.size(); ++i) {
    if (out.queries[i].empty() || out.queries[i].size() > kQueryBytesMax) {
      return rpc::InvalidField(absl::StrCat("queries[", i, "]"), out.queries[i], "1 to 4096 bytes");
    }
  }
  if (request.max_results() > kResultsMax) return Invalid("max_results", request.max_results(), "1 to 50");
  if (request.max_results() != 0) out.max_results = request.max_results();
  if (request.has_filter()) {
    absl::StatusOr<Filter> filter = FilterFrom("filter", request.filter(), 1);
    if (!filter.ok()) return filter.status();
    out.filter = *std::move(filter);
  }
  absl::StatusOr<Ranking> ranking = RankingFrom(request.ranking());
  if (!ranking.ok()) return ranking.status();
  out.ranking = *ranking;
  return out;
}

}  // namespace carrel::retrieval
