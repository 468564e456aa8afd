#include "adding.h"

#include "absl/strings/str_cat.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

absl::Status CheckQueue(const Adding& adding) {
  ASSIGN_OR_RETURN(const QueueCounts queue, CountQueue(adding.db));
  if (queue.length < adding.queue_length_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the queue is full: ", adding.queue_length_max, " documents are waiting to be read"));
}

}  // namespace

bool MayBeTriedAgain(const DocumentRow& there, const ContentKey& key, const std::optional<ContentRow>& known) {
  if (there.state != ContentState::kFailed || there.info.sha256 != key.sha256) return false;
  return WorthAnotherTry(there.info.verdict) || !known || known->row != there.content;
}

absl::StatusOr<ContentRow> QueueContent(const Adding& adding, const ContentKey& key,
                                        const std::optional<ContentRow>& known, IncomingFile& file,
                                        const std::string& file_name) {
  if (known) {
    if (known->state != ContentState::kFailed || !WorthAnotherTry(known->verdict)) return *known;
    RETURN_IF_ERROR(adding.blobs.Place(file, key.sha256));  // those that are there may be why it failed
    RETURN_IF_ERROR(RequeueContent(adding.db, known->row, adding.now_ms));
    return ContentRow{.row = known->row};
  }
  RETURN_IF_ERROR(CheckQueue(adding));
  // The bytes stand under their name before the record says so; a crash between leaves them to the sweep.
  RETURN_IF_ERROR(adding.blobs.Place(file, key.sha256));
  ASSIGN_OR_RETURN(const int64_t row, InsertContent(adding.db, key, file.size_bytes(), adding.now_ms));
  if (key.type == 0) {
    RETURN_IF_ERROR(FailContent(adding.db, row, Verdict::kUnsupported, UnreadableMessage(file_name)));
  }
  return ContentRow{.row = row};
}

absl::StatusOr<int64_t> WriteDocument(const Adding& adding, const StoreRow& store, const DocumentRow* failed,
                                      const std::string& id, const NewDocument& document, int64_t content,
                                      Removal& removal) {
  if (failed == nullptr) {
    RETURN_IF_ERROR(RunSql(adding.db,
                           "INSERT INTO documents(store, id, content, file_name, attributes, created_ms) "
                           "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                           store.row, id, content, document.file_name, EncodeAttributes(document.attributes),
                           adding.now_ms));
    return adding.db.last_row();
  }
  RETURN_IF_ERROR(RunSql(adding.db,
                         "UPDATE documents SET content = ?2, next_content = NULL, file_name = ?3, attributes = ?4, "
                         "created_ms = ?5 WHERE row = ?1",
                         failed->row, content, document.file_name, EncodeAttributes(document.attributes),
                         adding.now_ms));
  if (failed->content != content) RETURN_IF_ERROR(ReleaseContent(adding.db, store.row, failed->content, removal));
  return failed->row;
}

}  // namespace carrel::retrieval
