#include "ingest.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "retrieval/passages.h"
#include "retrieval/terms.h"
#include "status_macros.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr int64_t kLargeBytes = 8 << 20;  // a document that may keep a worker for minutes
constexpr uint32_t kEmbedAtOnce = 64;     // sub-passages per transaction
// Of each passage's window, what title and headings may take; the rest is the text's.
constexpr uint32_t kHeadingTokensMax = 30;
constexpr int64_t kAttemptsMax = 5;  // that ended with an error of ours
constexpr int64_t kStartsMax = 20;   // that were begun, by processes which died at it
constexpr int64_t kBackoffMillis = 500;
constexpr int64_t kBackoffMillisMax = 60'000;
constexpr uint32_t kDoublingsMax = 16;                     // of a slice
constexpr size_t kTurnsMax = 100'000;                      // that are remembered
constexpr size_t kReasonsMax = 100;                        // that are remembered as told
constexpr absl::Duration kIdle = absl::Milliseconds(500);  // until it is looked again for what was postponed

// As much of the end of `heading` as fits: the innermost heading says the most.
std::string ClipHeading(const std::string& heading, const Embedder& embedder) {
  std::string_view rest = heading;
  if (rest.size() > 400) rest.remove_prefix(rest.size() - 400);
  while (!rest.empty() && (rest.data() != heading.data() && (static_cast<unsigned char>(rest[0]) & 0xC0) == 0x80)) {
    rest.remove_prefix(1);
  }
  while (embedder.CountTokens(rest) > kHeadingTokensMax) {
    const size_t space = rest.find(' ');
    if (space == rest.npos) return "";
    rest.remove_prefix(space + 1);
  }
  return std::string(rest);
}

// A sub-passage that begins with its own heading stands under that, not under the one before.
std::string HeadingOf(const ExtractedDocument& document, const SubPassage& sub) {
  uint32_t offset = sub.span.begin;
  if (sub.heading >= 0) offset = std::max(offset, document.headings[static_cast<size_t>(sub.heading)].span.begin);
  return HeadingPath(document.headings, offset);
}

std::string WithTitle(const std::string& title, const std::string& heading) {
  if (title.empty() || heading.starts_with(title)) return heading;
  return heading.empty() ? title : absl::StrCat(title, " > ", heading);
}

}  // namespace

Ingest::Ingest(IngestOptions options, Database& database, Blobs& blobs, IndexRegistry& indexes, Extractor& extractor,
               std::vector<Embedder*> embedders)
    : options_(std::move(options)),
      database_(database),
      blobs_(blobs),
      indexes_(indexes),
      extractor_(extractor),
      embedders_(std::move(embedders)) {
  for (uint32_t i = 0; i < std::max(1u, options_.workers); ++i) {
    threads_.emplace_back([this] { Work(stopping_.get_token()); });
  }
  threads_.emplace_back([this] { WatchReading(stopping_.get_token()); });
}

Ingest::~Ingest() {
  stopping_.request_stop();
  {
    const std::lock_guard lock(mutex_);
    for (auto& [content, active] : active_) active.stop.request_stop();
    ++wakes_;
  }
  wake_.notify_all();
  threads_.clear();
}

void Ingest::Wake() {
  {
    const std::lock_guard lock(mutex_);
    ++wakes_;
  }
  wake_.notify_all();
}

void Ingest::Cancel(int64_t content) {
  const std::lock_guard lock(mutex_);
  stopped_.erase(content);
  held_.erase(content);
  const auto found = active_.find(content);
  if (found != active_.end()) found->second.stop.request_stop();
}

std::optional<DocumentProgress> Ingest::ProgressOf(int64_t content) {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(content);
  if (found == active_.end()) return std::nullopt;
  return found->second.progress;
}

std::string Ingest::HeldFor(int64_t content) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(content);
  return found == held_.end() ? "" : found->second.reason;
}

void Ingest::WaitForChange(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  const uint64_t seen = changes_;
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return changes_ != seen; });
}

void Ingest::SetProgress(int64_t content, const DocumentProgress& progress) {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(content);
  if (found != active_.end()) found->second.progress = progress;
}

void Ingest::Work(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      seen = wakes_;
    }
    absl::StatusOr<std::optional<Job>> job = Claim();
    if (!job.ok() || !job->has_value()) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, absl::ToChronoMilliseconds(kIdle), [&] { return wakes_ != seen; });
      continue;
    }
    std::stop_token job_stop;
    {
      const std::lock_guard lock(mutex_);
      job_stop = active_[(*job)->content].stop.get_token();
      // Between the claim and here it may have been the end.
      if (stop.stop_requested()) active_[(*job)->content].stop.request_stop();
    }
    absl::StatusOr<Step> step = Process(**job, job_stop);
    bool gives_way = step.ok() && *step == Step::kGivesWay;
    if (!step.ok()) {
      const std::lock_guard lock(mutex_);
      // Also at the end: what was not finished is not what ended the process.
      gives_way = active_[(*job)->content].gives_way || stop.stop_requested();
    }
    if (gives_way) {
      GiveWay(**job);
    } else if (!step.ok() && !job_stop.stop_requested()) {
      step = Postpone(**job, step.status());
    }
    const bool finished = step.ok() && (*step == Step::kFinished || *step == Step::kFailed);
    if (finished && options_.finished) options_.finished((*job)->content);
    {
      const std::lock_guard lock(mutex_);
      active_.erase((*job)->content);
      if (finished) stopped_.erase((*job)->content);
      if (step.ok() && *step == Step::kFinished) told_.clear();
      ++changes_;
      ++wakes_;  // another worker may have passed a large document by
    }
    changed_.notify_all();
    wake_.notify_all();
  }
}

// The turn that was served least recently, of those with something due; of it what waits longest.
absl::StatusOr<std::optional<Ingest::Job>> Ingest::PickJob(Connection& db, const RowSet& taken, bool large_allowed) {
  RowSet slow;
  for (const auto& [content, times] : stopped_) slow.insert(content);
  Statement q(db,
              "WITH due AS (SELECT row, next_try_ms FROM contents WHERE state < 2 AND next_try_ms <= ?1 AND NOT "
              "carrel_in(row, ?2) AND (?3 OR state = 1 OR (size_bytes <= ?4 AND NOT carrel_in(row, ?5)))) "
              "SELECT turn, row, min(next_try_ms) FROM ("
              "SELECT d.store AS turn, due.row, due.next_try_ms FROM due JOIN documents d ON d.content = due.row "
              "UNION ALL "
              "SELECT -d.store, due.row, due.next_try_ms FROM due JOIN documents d ON d.next_content = due.row) "
              "GROUP BY turn",
              options_.now_ms(), &taken, static_cast<int64_t>(large_allowed), kLargeBytes, &slow);
  std::optional<Job> best;
  uint64_t best_turn = std::numeric_limits<uint64_t>::max();
  while (q.Step()) {
    const auto served = last_served_.find(q.Int(0));
    const uint64_t turn = served == last_served_.end() ? 0 : served->second;
    if (turn < best_turn) {
      best_turn = turn;
      best = Job{.content = q.Int(1), .turn = q.Int(0)};
    }
  }
  if (!q.ok()) return q.status();
  return best;
}

absl::StatusOr<std::optional<Ingest::Job>> Ingest::Claim() {
  const Database::Writer writer = database_.Write();
  std::optional<Job> job;
  {
    const std::lock_guard lock(mutex_);
    RowSet taken;
    for (const auto& [content, active] : active_) taken.insert(content);
    for (const auto& [content, held] : held_) {
      if (held.next_try_ms > options_.now_ms()) taken.insert(content);
    }
    ASSIGN_OR_RETURN(job, PickJob(*writer, taken, LargeAllowed(0)));
    if (!job) return job;
    Statement q(
        *writer,
        "SELECT state, size_bytes, sha256, type, max_tokens, overlap_tokens, model, attempts FROM contents WHERE "
        "row = ?1",
        job->content);
    if (!q.Step()) return q.status();
    job->state = static_cast<ContentState>(q.Int(0));
    job->size_bytes = static_cast<uint64_t>(q.Int(1));
    job->sha256 = q.Text(2);
    job->type = static_cast<DocumentType>(q.Int(3));
    job->chunking = {static_cast<uint32_t>(q.Int(4)), static_cast<uint32_t>(q.Int(5))};
    job->model = q.Text(6);
    const auto held = held_.find(job->content);
    job->attempts = 1 + (held == held_.end() ? q.Int(7) : held->second.attempts);
    const auto stopped = stopped_.find(job->content);
    const uint32_t times = stopped == stopped_.end() ? 0 : stopped->second;
    active_[job->content] =
        Active{.reading = job->state == ContentState::kQueued,
               .large = static_cast<int64_t>(job->size_bytes) > kLargeBytes || times > 0,
               .until = absl::Now() + options_.slice * static_cast<double>(1u << std::min(times, kDoublingsMax))};
    last_served_[job->turn] = ++turn_;
    if (last_served_.size() > kTurnsMax) last_served_.clear();
  }
  // Written down before the work: a document that ends the process is not tried for ever.
  absl::Status status =
      RunSql(*writer, "UPDATE contents SET attempts = ?2 WHERE row = ?1", job->content, job->attempts);
  const std::lock_guard lock(mutex_);
  if (!status.ok()) {
    active_.erase(job->content);
    return status;
  }
  held_.erase(job->content);
  return job;
}

bool Ingest::LargeAllowed(int64_t besides) const {
  uint32_t large = 0;
  for (const auto& [content, active] : active_) large += content != besides && active.reading && active.large;
  return options_.workers <= 1 || large + 1 < options_.workers;
}

// Whether something is due that no worker is at, and could be begun if that of `content` were free.
bool Ingest::OthersWait(int64_t content) {
  const absl::StatusOr<Database::Reader> db = database_.Read();
  if (!db.ok()) return false;
  const std::lock_guard lock(mutex_);
  RowSet taken;
  for (const auto& [other, active] : active_) taken.insert(other);
  for (const auto& [other, held] : held_) taken.insert(other);
  const absl::StatusOr<std::optional<Job>> job = PickJob(**db, taken, LargeAllowed(content));
  return job.ok() && job->has_value();
}

// Stops what has been read for longer than its slice, when somebody waits for its worker.
void Ingest::WatchReading(const std::stop_token& stop) {
  while (true) {
    std::vector<int64_t> late;
    {
      std::unique_lock lock(mutex_);
      watch_.wait_for(lock, stop, absl::ToChronoNanoseconds(options_.slice / 4), [] { return false; });
      if (stop.stop_requested()) return;
      for (const auto& [content, active] : active_) {
        if (active.reading && !active.gives_way && absl::Now() > active.until) late.push_back(content);
      }
    }
    for (const int64_t content : late) {
      if (!OthersWait(content)) continue;
      const std::lock_guard lock(mutex_);
      const auto found = active_.find(content);
      if (found == active_.end() || !found->second.reading) continue;
      found->second.gives_way = true;
      found->second.stop.request_stop();
      ++stopped_[content];
    }
  }
}

absl::StatusOr<Ingest::Step> Ingest::Process(const Job& job, const std::stop_token& stop) {
  if (job.attempts > kStartsMax) {
    return Fail(job, Verdict::kCrashed, absl::StrCat("Reading it ended the server ", kStartsMax, " times."));
  }
  Embedder* const embedder = FindEmbedder(embedders_, job.model);
  if (embedder == nullptr) return absl::UnavailableError(absl::StrCat("the model ", job.model, " is not loaded"));
  if (job.state == ContentState::kQueued) {
    ASSIGN_OR_RETURN(const Step read, ReadStep(job, stop));
    if (read == Step::kFailed) return read;
  }
  ASSIGN_OR_RETURN(const Step embedded, EmbedStep(job, *embedder, stop));
  if (embedded == Step::kGivesWay) return embedded;
  RETURN_IF_ERROR(FinishStep(job));
  return Step::kFinished;
}

absl::StatusOr<Extraction> Ingest::Extract(const Job& job, const std::stop_token& stop) {
  ASSIGN_OR_RETURN(UniqueFd bytes, blobs_.OpenRead(job.sha256));
  ExtractionRequest request{.bytes = std::move(bytes), .type = job.type, .limits = options_.limits, .stop = stop};
  request.on_page = [&](uint32_t done, uint32_t pages) {
    SetProgress(job.content, {.phase = Phase::kExtracting, .pages_done = done, .pages = pages});
  };
  absl::StatusOr<Extraction> extraction = extractor_.Extract(std::move(request));
  // What was stopped may look like a crash.
  if (stop.stop_requested()) return absl::CancelledError("stopped");
  return extraction;
}

// The text, from the bytes or from where it was stored for another model, cut for this one.
absl::StatusOr<Ingest::Step> Ingest::ReadStep(const Job& job, const std::stop_token& stop) {
  const Embedder& embedder = *FindEmbedder(embedders_, job.model);
  SetProgress(job.content, {.phase = Phase::kExtracting});
  std::optional<StoredText> stored;
  {
    ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
    ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
    ASSIGN_OR_RETURN(stored, FindStoredText(*db, job.content));
  }
  Extraction read;
  if (!stored) {
    ASSIGN_OR_RETURN(read, Extract(job, stop));
  }
  const Extraction& extraction = stored ? stored->extraction : read;
  if (extraction.verdict != Verdict::kRead && extraction.verdict != Verdict::kPartial) {
    return Fail(job, extraction.verdict, extraction.message);
  }
  const ExtractedDocument& document = extraction.document;
  const ChunkingOptions chunking{.max_tokens = job.chunking.max_tokens,
                                 .overlap_tokens = job.chunking.overlap_tokens,
                                 .window_tokens = embedder.window_tokens() - 2 - kHeadingTokensMax};
  ASSIGN_OR_RETURN(const Chunks chunks, Chunk(document, chunking, [&](std::string_view text) {
                     return static_cast<uint32_t>(embedder.CountTokens(text));
                   }));
  if (chunks.sub_passages.empty()) return Fail(job, Verdict::kNoText, "There is no text in it.");
  std::vector<SubPassageText> texts;
  for (const SubPassage& sub : chunks.sub_passages) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    SubPassageText text{.heading = HeadingOf(document, sub)};
    text.heading_terms = JoinTerms(Terms(WithTitle(document.title, text.heading)));
    const std::u32string_view body = std::u32string_view(document.text).substr(sub.span.begin, sub.span.size());
    text.body_terms = JoinTerms(Terms(ToUtf8(body)));
    texts.push_back(std::move(text));
  }
  {
    const Database::Writer writer = database_.Write();
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
    RETURN_IF_ERROR(StoreExtraction(*writer, job.content, extraction, chunks, texts,
                                    stored ? std::optional(stored->content) : std::nullopt));
    RETURN_IF_ERROR(transaction.Commit());
  }
  const std::lock_guard lock(mutex_);
  active_[job.content].reading = false;
  stopped_.erase(job.content);
  ++wakes_;
  wake_.notify_all();
  return Step::kFinished;
}

absl::StatusOr<Ingest::Step> Ingest::EmbedStep(const Job& job, Embedder& embedder, const std::stop_token& stop) {
  DocumentProgress progress{.phase = Phase::kEmbedding};
  std::string title;
  while (true) {
    std::vector<SubPassageToEmbed> subs;
    std::vector<std::string> texts;
    {
      ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
      ASSIGN_OR_RETURN(const EmbeddingCounts counts, CountEmbeddings(*db, job.content));
      progress.embedded = counts.done;
      progress.to_embed = counts.all;
      {
        Statement q(*db, "SELECT title, pages FROM contents WHERE row = ?1", job.content);
        if (q.Step()) title = q.Text(0);
        progress.pages = progress.pages_done = static_cast<uint32_t>(q.Int(1));
        if (!q.ok()) return q.status();
      }
      SetProgress(job.content, progress);
      ASSIGN_OR_RETURN(subs, SubPassagesWithoutVector(*db, job.content, kEmbedAtOnce));
      for (const SubPassageToEmbed& sub : subs) {
        ASSIGN_OR_RETURN(std::string text, ReadText(*db, job.content, sub.span));
        const std::string heading = ClipHeading(WithTitle(title, sub.heading), embedder);
        texts.push_back(heading.empty() ? std::move(text) : absl::StrCat(heading, "\n", text));
      }
    }
    if (subs.empty()) return Step::kFinished;
    // A batch at a time, so that a deletion, and another document, need not wait long.
    std::vector<Embedding> vectors;
    for (size_t begin = 0; begin < texts.size(); begin += embedder.batch()) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      const std::vector<std::string_view> views(
          texts.begin() + static_cast<ptrdiff_t>(begin),
          texts.begin() + static_cast<ptrdiff_t>(std::min<size_t>(begin + embedder.batch(), texts.size())));
      ASSIGN_OR_RETURN(std::vector<Embedding> batch, embedder.Embed(views, TextRole::kPassage));
      std::move(batch.begin(), batch.end(), std::back_inserter(vectors));
      progress.embedded = std::min(progress.to_embed, progress.embedded + static_cast<uint32_t>(views.size()));
      SetProgress(job.content, progress);
    }
    {
      const Database::Writer writer = database_.Write();
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
      // It gets on: if the process is ended again, it was not by this document.
      RETURN_IF_ERROR(RunSql(*writer, "UPDATE contents SET attempts = 0, postponed = '' WHERE row = ?1", job.content));
      Statement update(*writer, "UPDATE sub_passages SET vector = ?2 WHERE row = ?1");
      for (size_t i = 0; i < subs.size(); ++i) {
        RETURN_IF_ERROR(update.Again(subs[i].row, Statement::Blob(VectorBytes(vectors[i].values))));
      }
      RETURN_IF_ERROR(transaction.Commit());
    }
    if (progress.embedded < progress.to_embed && OthersWait(job.content)) return Step::kGivesWay;
  }
}

absl::Status Ingest::FinishStep(const Job& job) {
  const Database::Writer writer = database_.Write();
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
  RETURN_IF_ERROR(
      RunSql(*writer,
             "UPDATE contents SET state = 2, attempts = 0, postponed = '', stored_bytes = stored_bytes + (SELECT "
             "coalesce(sum(length(vector)), 0) FROM sub_passages WHERE content = ?1) WHERE row = ?1",
             job.content));
  std::vector<int64_t> stores;  // none: it was deleted meanwhile, or is for a model that no store has yet
  {
    Statement q(*writer, "SELECT DISTINCT store FROM documents WHERE content = ?1", job.content);
    while (q.Step()) stores.push_back(q.Int(0));
    if (!q.ok()) return q.status();
  }
  for (const int64_t store : stores) RETURN_IF_ERROR(IndexContent(*writer, store, job.content));
  return indexes_.CommitContent(*writer, transaction, stores, job.content);
}

absl::StatusOr<Ingest::Step> Ingest::Fail(const Job& job, Verdict verdict, const std::string& message) {
  const Database::Writer writer = database_.Write();
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*writer));
  RETURN_IF_ERROR(FailContent(*writer, job.content, verdict, message));
  RETURN_IF_ERROR(transaction.Commit());
  return Step::kFailed;
}

// UNAVAILABLE (no jail, no model) and RESOURCE_EXHAUSTED (no disk, no memory for a jail) may last and are not the
// document's fault, DATA_LOSS does not pass; other errors are tried a few times.
absl::StatusOr<Ingest::Step> Ingest::Postpone(const Job& job, const absl::Status& why) {
  if (why.code() == absl::StatusCode::kCancelled) return Step::kGivesWay;
  const bool lasts = why.code() == absl::StatusCode::kUnavailable || why.code() == absl::StatusCode::kResourceExhausted;
  const bool final = why.code() == absl::StatusCode::kDataLoss;
  if (final || (!lasts && job.attempts >= kAttemptsMax)) {
    absl::StatusOr<Step> failed =
        Fail(job, Verdict::kInternal,
             final ? absl::StrCat("It could not be read in: ", why.message())
                   : absl::StrCat("It could not be read in, at ", kAttemptsMax, " attempts; at last: ", why.message()));
    if (failed.ok()) return failed;
  }
  const int64_t shift = std::clamp<int64_t>(job.attempts - 1, 0, 10);
  NextTry(job, lasts ? std::min<int64_t>(job.attempts, 10) : job.attempts,
          std::min(kBackoffMillisMax, kBackoffMillis << shift),
          absl::StrCat("It waits to be tried again: ", why.message()));
  TellOnce(std::string(why.message()));
  return Step::kGivesWay;
}

// At the end of its store's line, and as if it had not been begun.
void Ingest::GiveWay(const Job& job) { NextTry(job, job.attempts - 1, 0, ""); }

// A thousand documents that wait for the same thing are one line in the log.
void Ingest::TellOnce(const std::string& reason) {
  if (!options_.postponed) return;
  {
    const std::lock_guard lock(mutex_);
    if (told_.size() >= kReasonsMax) told_.clear();
    if (!told_.insert(reason).second) return;
  }
  options_.postponed(reason);
}

void Ingest::NextTry(const Job& job, int64_t attempts, int64_t delay_ms, const std::string& reason) {
  const int64_t next_try_ms = options_.now_ms() + delay_ms;
  const Database::Writer writer = database_.Write();
  if (RunSql(*writer,
             "UPDATE contents SET next_try_ms = ?2, attempts = ?3, postponed = CASE ?4 WHEN '' THEN postponed ELSE ?4 "
             "END WHERE row = ?1",
             job.content, next_try_ms, attempts, reason)
          .ok()) {
    return;
  }
  const std::lock_guard lock(mutex_);
  held_[job.content] = {
      .attempts = attempts, .next_try_ms = options_.now_ms() + std::max(delay_ms, kBackoffMillis), .reason = reason};
}

}  // namespace carrel::retrieval
