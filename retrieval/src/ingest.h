// The work of reading documents in: a bounded number of workers over the queue that the contents table is.
//
// Each content goes kQueued -> kExtracted -> kReady, or kFailed; every step is one transaction, so that an ended
// process goes on at the step where it was. Bytes that were read before for another model are not read again.
//
// Fairness: stores take turns (and within a store what is new and what is embedded anew); of a store's contents that
// which waits longest is next. Embedding gives way to who waits after every few passages, and goes on where it was.
// Reading cannot go on where it was: what takes longer than a slice while others wait is stopped, and begun again among
// the large documents, which leave one worker to the others (if there are two), with twice the time. So what takes long
// waits for others that do no longer than it takes itself, whatever their limits are.
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
#include "absl/container/flat_hash_set.h"
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
  absl::Duration slice = absl::Seconds(5);  // of reading for the first time, while others wait
  ExtractionLimits limits;
  std::function<int64_t()> now_ms;
  std::function<void(const std::string& reason)> postponed;  // LibraryOptions::postponed
  // A content is ready or has failed; called from a worker, with nothing held.
  std::function<void(int64_t content)> finished;
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
  // Why a content is put off, where that could not be written down with it; "": it could, or it is not.
  [[nodiscard]] std::string HeldFor(int64_t content);
  // Waits until some content is finished, or `timeout`.
  void WaitForChange(absl::Duration timeout);

 private:
  struct Job {
    int64_t content = 0;
    int64_t turn = 0;  // whose turn it is done on: a store, negative for what is embedded anew
    uint64_t size_bytes = 0;
    ContentState state = ContentState::kQueued;
    std::string sha256;
    DocumentType type = DocumentType::kText;
    Chunking chunking;
    std::string model;
    int64_t attempts = 0;
  };
  struct Active {
    bool reading = false;  // the text is on its way; it cannot go on later where it is now
    bool large = false;    // and may take long
    bool gives_way = false;
    absl::Time until;  // the end of its slice
    std::stop_source stop;
    DocumentProgress progress;
  };
  // What could not be written down (the disk is full), until it can.
  struct Held {
    int64_t attempts = 0;
    int64_t next_try_ms = 0;
    std::string reason;
  };
  enum class Step : uint8_t { kFinished, kFailed, kGivesWay };

  void Work(const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<std::optional<Job>> Claim();
  [[nodiscard]] absl::StatusOr<std::optional<Job>> PickJob(Connection& db, const RowSet& taken, bool large_allowed);
  [[nodiscard]] bool OthersWait(int64_t content);
  [[nodiscard]] bool LargeAllowed(int64_t besides) const;
  void WatchReading(const std::stop_token& stop);
  [[nodiscard]] bool IsLate(const Active& active) const;
  [[nodiscard]] absl::StatusOr<Step> Process(const Job& job, const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<Step> ReadStep(const Job& job, const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<Extraction> Extract(const Job& job, const std::stop_token& stop);
  [[nodiscard]] absl::StatusOr<Step> EmbedStep(const Job& job, Embedder& embedder, const std::stop_token& stop);
  [[nodiscard]] absl::Status FinishStep(const Job& job);
  [[nodiscard]] absl::StatusOr<Step> Fail(const Job& job, Verdict verdict, const std::string& message);
  [[nodiscard]] absl::StatusOr<Step> Postpone(const Job& job, const absl::Status& why);
  void GiveWay(const Job& job);
  // `reason`: for people; "": the one there is stays.
  void NextTry(const Job& job, int64_t attempts, int64_t delay_ms, const std::string& reason);
  void TellOnce(const std::string& reason);
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
  std::condition_variable_any watch_;
  uint64_t wakes_ = 0;  // counted, so that none is missed
  uint64_t changes_ = 0;
  uint64_t turn_ = 0;
  absl::flat_hash_map<int64_t, Active> active_;         // by content
  absl::flat_hash_map<int64_t, uint64_t> last_served_;  // by Job::turn
  absl::flat_hash_map<int64_t, Held> held_;             // by content
  absl::flat_hash_map<int64_t, uint32_t> stopped_;      // by content: how often its slice was over
  absl::flat_hash_set<std::string> told_;               // reasons, since something was finished
  std::stop_source stopping_;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace carrel::retrieval
