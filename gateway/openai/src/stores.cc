// Files and vector stores.
#include "objects.h"

namespace carrel::gateway::openai {
namespace render {

// The specification lets a file's and a store's expiry be absent, but not null, and wants a store's name to be a
// string. Clients read null where a field is absent.
Json Of(const FileObject& f, const View&) {
  Json json = {{"object", "file"},       {"id", f.id.value},           {"purpose", f.purpose},
               {"filename", f.filename}, {"bytes", f.blob.size_bytes}, {"created_at", Seconds(f.created_at)}};
  if (f.expires_at.has_value()) json["expires_at"] = Seconds(f.expires_at);
  json["status"] = "processed";
  return json;
}

Json Of(const FileCounts& counts) {
  return {{"in_progress", counts.in_progress},
          {"completed", counts.completed},
          {"failed", counts.failed},
          {"cancelled", counts.cancelled},
          {"total", counts.total()}};
}

Json Of(const VectorStore& s, const View& view) {
  const char* status = s.status() == VectorStore::Status::kExpired      ? "expired"
                       : s.status() == VectorStore::Status::kInProgress ? "in_progress"
                                                                        : "completed";
  Json json = {{"id", s.id.value},
               {"object", "vector_store"},
               {"created_at", Seconds(s.created_at)},
               {"name", s.name.value_or("")},
               {"description", OrNull(s.description)},
               {"usage_bytes", s.usage_bytes},
               {"file_counts", Of(s.counts)},
               {"status", status}};
  std::optional<absl::Time> expires_at;
  if (s.expires_after_days.has_value()) {
    json["expires_after"] = {{"anchor", "last_active_at"}, {"days", *s.expires_after_days}};
    expires_at = s.last_active_at + absl::Hours(24) * *s.expires_after_days;
  }
  json["expires_at"] = Seconds(expires_at);
  json["last_active_at"] = Seconds(s.last_active_at);
  json["metadata"] = Of(s.metadata);
  if (view.carrel && s.model.has_value()) json["x_carrel"] = MoreOf(*s.model);
  return json;
}

namespace {

const char* NameOf(StoreFileStatus status) {
  switch (status) {
    case StoreFileStatus::kInProgress:
      return "in_progress";
    case StoreFileStatus::kCompleted:
      return "completed";
    case StoreFileStatus::kCancelled:
      return "cancelled";
    case StoreFileStatus::kFailed:
      break;
  }
  return "failed";
}

}  // namespace

Json Of(const std::optional<StoreFileError>& error) {
  if (!error.has_value()) return nullptr;
  const char* code = error->code == StoreFileError::Code::kServerError       ? "server_error"
                     : error->code == StoreFileError::Code::kUnsupportedFile ? "unsupported_file"
                                                                             : "invalid_file";
  return {{"code", code}, {"message", error->message}};
}

Json Of(const VectorStoreFile& f, const View& view) {
  Json json = {{"id", f.file_id.value},
               {"object", "vector_store.file"},
               {"usage_bytes", f.usage_bytes},
               {"created_at", Seconds(f.created_at)},
               {"vector_store_id", f.store_id.value},
               {"status", NameOf(f.status)},
               {"last_error", Of(f.last_error)},
               {"chunking_strategy",
                {{"type", "static"},
                 {"static",
                  {{"max_chunk_size_tokens", f.chunking.max_chunk_size_tokens},
                   {"chunk_overlap_tokens", f.chunking.chunk_overlap_tokens}}}}},
               {"attributes", Of(f.attributes)}};
  if (view.carrel) json["x_carrel"] = MoreOf(f);
  return json;
}

Json Of(const FileBatch& b, const View&) {
  const char* status = b.counts.in_progress > 0                         ? "in_progress"
                       : b.cancelled                                    ? "cancelled"
                       : b.counts.failed > 0 && b.counts.completed == 0 ? "failed"
                                                                        : "completed";
  return {{"id", b.id.value}, {"object", "vector_store.files_batch"}, {"created_at", Seconds(b.created_at)},
          {"status", status}, {"vector_store_id", b.store_id.value},  {"file_counts", Of(b.counts)}};
}

}  // namespace render

std::string RenderFileText(const std::string& text) {
  return render::Dump({{"object", "vector_store.file_content.page"},
                       {"data", render::Json::array({{{"type", "text"}, {"text", text}}})},
                       {"has_more", false},
                       {"next_page", nullptr}});
}

std::string RenderSearchPage(const std::vector<std::string>& queries, const SearchAnswer& answer, const View& view) {
  render::Json data = render::Json::array();
  for (const SearchResult& result : answer.results) {
    render::Json hit = {{"file_id", result.file_id.value},
                        {"filename", result.file_name},
                        {"score", result.score},
                        {"attributes", render::Of(result.attributes)},
                        {"content", render::Json::array({{{"type", "text"}, {"text", result.passage}}})}};
    if (view.carrel) hit["x_carrel"] = render::MoreOf(result);
    data.push_back(std::move(hit));
  }
  render::Json page = {{"object", "vector_store.search_results.page"},
                       {"search_query", queries},
                       {"data", data},
                       {"has_more", false},
                       {"next_page", nullptr}};
  if (view.carrel) page["x_carrel"] = render::MoreOf(answer.times);
  return render::Dump(page);
}

}  // namespace carrel::gateway::openai
