#include "searcher.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "citation.h"
#include "contents.h"
#include "retrieval/fusion.h"
#include "retrieval/terms.h"
#include "retrieval/text_sketch.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

// Sub-passages that each leg looks at, per result asked for and at least: overlapping passages and merging eat some.
constexpr size_t kDepthPerResult = 8;
constexpr size_t kDepthMin = 100;
constexpr size_t kCitationsMax = 4;  // of one hit
// Relevance feedback (Sharpen): how many of the best passages speak for what is sought, and how loud. Measured on
// Cranfield, fused nDCG@10: without 0.443; 2 at 0.5 0.461; the neighbourhood (1 to 3, 0.3 to 0.8) gives 0.455 to 0.466.
constexpr size_t kFeedbackPassages = 2;
constexpr float kFeedbackWeight = 0.5F;
// BM25 has no upper end; at this score a keyword-only hit without fusion is half way to 1.
constexpr double kHalfBm25 = 10.0;

struct SubPassageRow {
  int64_t row = 0;
  int64_t passage = 0;
  int64_t content = 0;
  Span span;
};

// An enclosing passage in a store, found by one leg or both.
struct Candidate {
  size_t store = 0;
  int64_t passage = 0;
  int64_t content = 0;
  double cosine = 0;
  uint32_t vector_rank = 0;
  SubPassageRow vector_sub;
  double bm25 = 0;
  uint32_t text_rank = 0;
  SubPassageRow text_sub;
};

// One leg's match, from one of the stores.
struct LegMatch {
  size_t store = 0;
  SubPassageMatch match;
};

class Microseconds {
 public:
  [[nodiscard]] uint64_t SinceStart() const {
    return static_cast<uint64_t>(absl::ToInt64Microseconds(absl::Now() - start_));
  }

 private:
  absl::Time start_ = absl::Now();
};

// One search on one snapshot of the records.
class Run {
 public:
  Run(Connection& db, const SearchQuery& query, const std::vector<StoreRow>& stores)
      : db_(db), query_(query), stores_(stores), depth_(std::max(kDepthMin, query.max_results * kDepthPerResult)) {}

  // Takes one leg's matches for one query, from all stores; the best sub-passage stands for its enclosing passage.
  absl::Status AddLeg(std::vector<LegMatch> matches, bool vector_leg, double weight) {
    std::stable_sort(matches.begin(), matches.end(),
                     [](const auto& a, const auto& b) { return a.match.score > b.match.score; });
    RankedList list{.weight = weight};
    absl::flat_hash_set<int64_t> listed;
    for (const LegMatch& match : matches) {
      ASSIGN_OR_RETURN(const std::optional<SubPassageRow> sub, FindSubPassage(match.match.sub_passage));
      if (!sub) continue;  // deleted between the index and the snapshot
      const int64_t id = CandidateOf(match.store, *sub);
      if (!listed.insert(id).second) continue;
      list.ids.push_back(id);
      Note(candidates_[static_cast<size_t>(id)], *sub, match.match.score, static_cast<uint32_t>(list.ids.size()),
           vector_leg);
    }
    lists_.push_back(std::move(list));
    return absl::OkStatus();
  }

  // Orders the vector leg's list of the query that was added last anew, by what its best passages mean: the question's
  // vector is moved towards theirs (Rocchio, 1971), and everything that either leg found for it is compared with that.
  // What the keywords alone found gets its place among the vectors too. `indexes` by store.
  void Sharpen(const std::vector<float>& question, const std::vector<std::shared_ptr<StoreIndex>>& indexes) {
    RankedList& by_vector = lists_[lists_.size() - 2];
    const RankedList& by_text = lists_.back();
    std::vector<float> sought = question;
    size_t heard = 0;
    std::vector<float> sum(question.size(), 0);
    for (const FusedItem& item : Fuse({by_vector, by_text}, query_.ranking.rrf_k)) {
      if (heard == kFeedbackPassages) break;
      const Candidate& candidate = candidates_[static_cast<size_t>(item.id)];
      const StoreIndex& index = *indexes[candidate.store];
      const std::shared_lock lock(index.mutex);
      const SubPassageRow& sub = candidate.vector_rank != 0 ? candidate.vector_sub : candidate.text_sub;
      const std::optional<uint32_t> position = index.PositionOf(sub.content, sub.row);
      if (!position) continue;
      const std::vector<float> vector = index.vectors->Read(*position, *position + 1);
      for (size_t d = 0; d < sum.size(); ++d) sum[d] += vector[d];
      ++heard;
    }
    if (heard == 0) return;
    for (size_t d = 0; d < sum.size(); ++d) sought[d] += kFeedbackWeight * sum[d] / static_cast<float>(heard);

    std::vector<int64_t> ids = by_vector.ids;
    ids.insert(ids.end(), by_text.ids.begin(), by_text.ids.end());
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    std::vector<std::pair<float, int64_t>> scored;
    for (const int64_t id : ids) {
      const Candidate& candidate = candidates_[static_cast<size_t>(id)];
      const StoreIndex& index = *indexes[candidate.store];
      const std::shared_lock lock(index.mutex);
      std::vector<uint32_t> positions;
      for (const auto& [rank, sub] : {std::pair(candidate.vector_rank, &candidate.vector_sub),
                                      std::pair(candidate.text_rank, &candidate.text_sub)}) {
        const std::optional<uint32_t> position = rank == 0 ? std::nullopt : index.PositionOf(sub->content, sub->row);
        if (position) positions.push_back(*position);
      }
      if (positions.empty()) continue;
      const std::vector<float> cosines = index.vectors->Cosines(sought, positions);
      scored.emplace_back(-*std::max_element(cosines.begin(), cosines.end()), id);
    }
    std::sort(scored.begin(), scored.end());
    by_vector.ids.clear();
    for (const auto& [score, id] : scored) by_vector.ids.push_back(id);
  }

  absl::StatusOr<std::vector<Hit>> Hits() {
    std::vector<Hit> hits;
    std::vector<size_t> owners;                  // candidate of each hit
    std::vector<TextSketch> sketches;            // of its passage: nearly the same text elsewhere is not news
    std::set<std::pair<int64_t, int64_t>> seen;  // content and passage: the same document in another store
    for (const FusedItem& item : Order()) {
      if (item.score < query_.ranking.score_threshold) break;
      const Candidate& candidate = candidates_[static_cast<size_t>(item.id)];
      if (!seen.insert({candidate.content, candidate.passage}).second) continue;
      ASSIGN_OR_RETURN(std::optional<Hit> hit, MakeHit(candidate, item.score));
      if (!hit) continue;
      bool merged = false;
      for (size_t i = 0; i < hits.size() && !merged; ++i) {
        if (candidates_[owners[i]].store == candidate.store && candidates_[owners[i]].content == candidate.content) {
          merged = MergeNeighbour(*hit, hits[i]);
        }
      }
      if (merged || hits.size() >= query_.max_results) continue;
      TextSketch sketch(hit->passage);
      if (std::any_of(sketches.begin(), sketches.end(), [&](const auto& s) { return s.NearlyEquals(sketch); }))
        continue;
      sketches.push_back(std::move(sketch));
      hits.push_back(*std::move(hit));
      owners.push_back(static_cast<size_t>(item.id));
      if (hits.size() >= query_.max_results) break;
    }
    return hits;
  }

  size_t depth() const { return depth_; }

 private:
  absl::StatusOr<std::optional<SubPassageRow>> FindSubPassage(int64_t row) {
    Statement q(db_, "SELECT passage, content, begin, \"end\" FROM sub_passages WHERE row = ?1", row);
    std::optional<SubPassageRow> out;
    if (q.Step()) {
      out = SubPassageRow{.row = row,
                          .passage = q.Int(0),
                          .content = q.Int(1),
                          .span = {static_cast<uint32_t>(q.Int(2)), static_cast<uint32_t>(q.Int(3))}};
    }
    if (!q.ok()) return q.status();
    return out;
  }

  int64_t CandidateOf(size_t store, const SubPassageRow& sub) {
    const auto [found, inserted] = ids_.try_emplace({store, sub.passage}, static_cast<int64_t>(candidates_.size()));
    if (inserted) candidates_.push_back({.store = store, .passage = sub.passage, .content = sub.content});
    return found->second;
  }

  // With several queries, a passage keeps its best rank of each leg.
  static void Note(Candidate& candidate, const SubPassageRow& sub, double score, uint32_t rank, bool vector_leg) {
    uint32_t& kept_rank = vector_leg ? candidate.vector_rank : candidate.text_rank;
    if (kept_rank != 0 && kept_rank <= rank) return;
    kept_rank = rank;
    (vector_leg ? candidate.cosine : candidate.bm25) = score;
    (vector_leg ? candidate.vector_sub : candidate.text_sub) = sub;
  }

  std::vector<FusedItem> Order() const {
    if (query_.ranking.ranker == Ranking::Ranker::kFused) return Fuse(lists_, query_.ranking.rrf_k);
    const bool by_vector = query_.ranking.embedding_weight > 0;
    std::vector<FusedItem> out;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      const Candidate& c = candidates_[i];
      if ((by_vector ? c.vector_rank : c.text_rank) == 0) continue;
      const double score = by_vector ? std::clamp(c.cosine, 0.0, 1.0) : c.bm25 / (c.bm25 + kHalfBm25);
      out.push_back({.id = static_cast<int64_t>(i), .score = score});
    }
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    return out;
  }

  // None: no document of the store has it any more, or none that passes the filter.
  absl::StatusOr<std::optional<Hit>> MakeHit(const Candidate& candidate, double score) {
    const StoreRow& store = stores_[candidate.store];
    ASSIGN_OR_RETURN(const std::vector<DocumentRow> documents, DocumentsOfContent(db_, store.row, candidate.content));
    const auto document = std::find_if(documents.begin(), documents.end(), [&](const DocumentRow& d) {
      return d.state == ContentState::kReady && (!query_.filter || Holds(*query_.filter, d.info.attributes));
    });
    if (document == documents.end()) return std::nullopt;
    Hit hit{.store_id = store.id,
            .document_id = document->info.id,
            .file_name = document->info.file_name,
            .attributes = document->info.attributes,
            .score = score,
            .vector_score = candidate.cosine,
            .vector_rank = candidate.vector_rank,
            .text_score = candidate.bm25,
            .text_rank = candidate.text_rank};
    {
      Statement q(db_, "SELECT begin, \"end\" FROM passages WHERE row = ?1", candidate.passage);
      if (!q.Step()) return q.ok() ? absl::DataLossError("a passage is missing") : q.status();
      hit.passage_span = {static_cast<uint32_t>(q.Int(0)), static_cast<uint32_t>(q.Int(1))};
    }
    ASSIGN_OR_RETURN(hit.passage, ReadText(db_, candidate.content, hit.passage_span));
    std::vector<const SubPassageRow*> subs;
    if (candidate.vector_rank != 0) subs.push_back(&candidate.vector_sub);
    if (candidate.text_rank != 0) subs.push_back(&candidate.text_sub);
    if (subs.size() == 2 && candidate.text_rank < candidate.vector_rank) std::swap(subs[0], subs[1]);
    if (subs.size() == 2 && subs[0]->row == subs[1]->row) subs.pop_back();
    {
      Statement q(db_, "SELECT heading FROM sub_passages WHERE row = ?1", subs.front()->row);
      if (!q.Step()) return q.ok() ? absl::DataLossError("a sub-passage is missing") : q.status();
      hit.heading = q.Text(0);
    }
    for (const SubPassageRow* sub : subs) {
      ASSIGN_OR_RETURN(Citation citation, MakeCitation(db_, sub->content, sub->span));
      hit.citations.push_back(std::move(citation));
    }
    return hit;
  }

  // Passages of one document overlap by design. One that shares half of its text with a better hit is not another
  // hit: its quotes join that hit's, if they lie in its passage.
  static bool MergeNeighbour(const Hit& hit, Hit& better) {
    const uint32_t begin = std::max(hit.passage_span.begin, better.passage_span.begin);
    const uint32_t end = std::min(hit.passage_span.end, better.passage_span.end);
    const uint32_t shorter = std::min(hit.passage_span.size(), better.passage_span.size());
    if (begin >= end || (end - begin) * 2 < shorter) return false;
    for (const Citation& citation : hit.citations) {
      const bool known = std::any_of(better.citations.begin(), better.citations.end(),
                                     [&](const Citation& c) { return c.span.Intersects(citation.span); });
      if (!known && better.passage_span.Contains(citation.span) && better.citations.size() < kCitationsMax) {
        better.citations.push_back(citation);
      }
    }
    return true;
  }

  Connection& db_;
  const SearchQuery& query_;
  const std::vector<StoreRow>& stores_;
  const size_t depth_;
  std::map<std::pair<size_t, int64_t>, int64_t> ids_;
  std::vector<Candidate> candidates_;
  std::vector<RankedList> lists_;
};

}  // namespace

absl::StatusOr<SearchAnswer> Searcher::Search(const SearchQuery& query, const std::vector<StoreRow>& stores) {
  SearchAnswer answer;
  const Microseconds whole;
  const bool vector_leg = query.ranking.embedding_weight > 0;
  const bool text_leg = query.ranking.text_weight > 0;

  // The questions' vectors, once for each model that the stores use.
  std::map<std::string, std::vector<Embedding>> questions;
  for (size_t i = 0; vector_leg && i < stores.size(); ++i) {
    if (questions.contains(stores[i].model)) continue;
    Embedder* const model = FindEmbedder(embedders_, stores[i].model);
    if (model == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("store ", stores[i].id, " was made with the model ",
                                                        stores[i].model,
                                                        ", which is not here; embed the store anew with one that is"));
    }
    const Microseconds part;
    const std::vector<std::string_view> texts(query.queries.begin(), query.queries.end());
    ASSIGN_OR_RETURN(questions[stores[i].model], model->Embed(texts, TextRole::kQuery));
    answer.embed_us += part.SinceStart();
  }
  std::vector<std::shared_ptr<StoreIndex>> indexes;
  for (const StoreRow& store : stores) {
    ASSIGN_OR_RETURN(indexes.emplace_back(), indexes_.Get(store.row, query.filter.has_value()));
  }

  ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
  ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
  Run run(*db, query, stores);
  std::vector<std::vector<LegMatch>> vector_matches(query.queries.size()), text_matches(query.queries.size());
  for (size_t i = 0; i < stores.size(); ++i) {
    const std::shared_lock lock(indexes[i]->mutex);
    const StoreIndex::Allowed allowed = indexes[i]->AllowedBy(query.filter);
    for (size_t q = 0; q < query.queries.size(); ++q) {
      if (vector_leg) {
        const Microseconds part;
        const std::vector<float>& question = questions.at(stores[i].model)[q].values;
        ASSIGN_OR_RETURN(const auto found, indexes[i]->SearchVectors(question, run.depth(), allowed));
        for (const SubPassageMatch& match : found) vector_matches[q].push_back({i, match});
        answer.vector_us += part.SinceStart();
      }
      if (text_leg) {
        const Microseconds part;
        const std::vector<std::string> terms = QueryTerms(query.queries[q]);
        auto found = indexes[i]->SearchTerms(terms, run.depth(), allowed);
        if (!found) {
          std::optional<RowSet> contents;
          if (query.filter) contents = indexes[i]->ContentsAllowedBy(*query.filter);
          ASSIGN_OR_RETURN(found, SearchTerms(*db, stores[i].row, terms, run.depth(), contents ? &*contents : nullptr));
        }
        for (const SubPassageMatch& match : *found) text_matches[q].push_back({i, match});
        answer.text_us += part.SinceStart();
      }
    }
  }
  for (size_t q = 0; q < query.queries.size(); ++q) {
    if (vector_leg) RETURN_IF_ERROR(run.AddLeg(std::move(vector_matches[q]), true, query.ranking.embedding_weight));
    if (text_leg) RETURN_IF_ERROR(run.AddLeg(std::move(text_matches[q]), false, query.ranking.text_weight));
    // Vectors of different models do not compare.
    if (vector_leg && text_leg && questions.size() == 1 && query.ranking.ranker == Ranking::Ranker::kFused) {
      run.Sharpen(questions.begin()->second[q].values, indexes);
    }
  }
  ASSIGN_OR_RETURN(answer.hits, run.Hits());
  answer.elapsed_us = whole.SinceStart();
  return answer;
}

}  // namespace carrel::retrieval
