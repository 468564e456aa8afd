// The work of reading documents in: a bounded number of workers over the queue that the contents table is.
//
// Each content goes kQueued -> kExtracted -> kReady, or kFailed; every step is one transaction, so that an ended
// process goes on at the step where it was. Stores take turns; one worker is always left for small documents.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "blobs.h"
#include "contents.h"
#include "database.h"
#include "index_registry.h"
#include "retrieval/embedder.h"
#include "retrieval/extraction.h"

namespace carrel::retrieval {

struct IngestOptions {
  uint32_t workers = 2;
  ExtractionLimits limits;
  std::function<int64_t()> now_ms;
};

// All references must outlive it. Thread-safe.
class Ingest final {
 public:
  Ingest(IngestOptions options, Database& database, Blobs& blobs, IndexRegistry& indexes, Extractor& extractor,
         std::vector<Embedder*> embedders);
  ~Ingest();  // stops: the work at hand is left where it is
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  // There is something new in the queue.
  void Wake();
  // The content is gone or going: stop working at it.
  void Cancel(int64_t content);
  // None: nobody works at it now.
  [[nodiscard]] std::optional<DocumentProgress> ProgressOf(int64_t content);
  // Waits until some content is finished, or `timeout`.
  void WaitForChange(absl::Duration timeout);

 private:
  struct Job {
    int64_t content = 0;
    int64_t store = 0;  // on whose turn it is done
    uint64_t size_bytes = 0;
    ContentState state = ContentState::kQueued;
    std::string sha256;
    DocumentType type = DocumentType::kText;
    Chunking chunking;
    std::string model;
    int64_t attempts = 0;
  };
  struct Active {
    int64_t store = 0;
    bool large = false;
    std::stop_source stop;
    DocumentProgress progress;
  };

  void Work(const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<std::optional<Job>> Claim();
  [[nodiscard]] absl::StatusOr<std::optional<Job>> PickJob(Connection& db, const RowSet& taken, bool large_allowed);
  [[nodiscard]] absl::Status Process(const Job& job, const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<bool> ExtractStep(const Job& job, const std::stop_token& stop);  // false: it failed
  [[nodiscard]] absl::Status EmbedStep(const Job& job, Embedder& embedder, const std::stop_token& stop);
  [[nodiscard]] absl::Status FinishStep(const Job& job);
  [[nodiscard]] absl::Status Fail(const Job& job, Verdict verdict, const std::string& message);
  [[nodiscard]] absl::Status Postpone(const Job& job, const absl::Status& why);
  void SetProgress(int64_t content, const DocumentProgress& progress);

  const IngestOptions options_;
  Database& database_;
  Blobs& blobs_;
  IndexRegistry& indexes_;
  Extractor& extractor_;
  const std::vector<Embedder*> embedders_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable changed_;
  uint64_t wakes_ = 0;  // counted, so that none is missed
  uint64_t changes_ = 0;
  uint64_t turn_ = 0;
  absl::flat_hash_map<int64_t, Active> active_;         // by content
  absl::flat_hash_map<int64_t, uint64_t> last_served_;  // by store: the turn
  std::stop_source stopping_;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace carrel::retrieval
