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
// How often the depth is doubled when they ate too much: of 150 versions of one form all but one are dropped.
constexpr uint32_t kDoublingsMax = 4;
constexpr size_t kCitationsMax = 4;  // of one hit
// Relevance feedback (Sharpen): how many of the best passages speak for what is sought, and how loud. Measured on
// Cranfield, fused nDCG@10: without 0.443; 2 at 0.5 0.461; the neighbourhood (1 to 3, 0.3 to 0.8) gives 0.455 to 0.466.
constexpr size_t kFeedbackPassages = 2;
constexpr float kFeedbackWeight = 0.5F;
// BM25 has no upper end; at this score a keyword-only hit without fusion is half way to 1.
constexpr double kHalfBm25 = 10.0;

// What a leg says of a passage: its best sub-passage there.
struct Voice {
  uint32_t rank = 0;  // 1 is best; 0: nothing
  IndexMatch match;
};

// An enclosing passage in a store, found by one leg or both.
struct Candidate {
  size_t store = 0;
  int64_t passage = 0;
  int64_t content = 0;
  Voice vector;
  Voice text;
};

// One leg's match, from one of the stores.
struct LegMatch {
  size_t store = 0;
  IndexMatch match;
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
  Run(Connection& db, const SearchQuery& query, const std::vector<StoreRow>& stores, size_t depth)
      : db_(db), query_(query), stores_(stores), depth_(depth) {}

  // Takes one leg's matches for one query, from all stores (with one model, of the vector leg: cosines of different
  // models do not compare); the best sub-passage stands for its enclosing passage. `other_model`: the list before is
  // the same leg's, of another model.
  void AddLeg(std::vector<LegMatch> matches, bool vector_leg, double weight, bool other_model = false) {
    std::stable_sort(matches.begin(), matches.end(),
                     [](const auto& a, const auto& b) { return a.match.score > b.match.score; });
    RankedList list{.weight = weight, .instead_of_previous = other_model};
    absl::flat_hash_set<int64_t> listed;
    for (const LegMatch& match : matches) {
      const int64_t id = CandidateOf(match);
      if (!listed.insert(id).second) continue;
      list.ids.push_back(id);
      Candidate& candidate = candidates_[static_cast<size_t>(id)];
      // With several queries, a passage keeps its best rank of each leg.
      Voice& voice = vector_leg ? candidate.vector : candidate.text;
      const auto rank = static_cast<uint32_t>(list.ids.size());
      if (voice.rank == 0 || rank < voice.rank) voice = {.rank = rank, .match = match.match};
    }
    lists_.push_back(std::move(list));
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
      const uint32_t position = (candidate.vector.rank != 0 ? candidate.vector : candidate.text).match.position;
      if (position == IndexMatch::kNowhere) continue;
      const std::shared_lock lock(index.mutex);
      const std::vector<float> vector = index.vectors->Read(position, position + 1);
      for (size_t d = 0; d < sum.size(); ++d) sum[d] += vector[d];
      ++heard;
    }
    if (heard == 0) return;
    for (size_t d = 0; d < sum.size(); ++d) sought[d] += kFeedbackWeight * sum[d] / static_cast<float>(heard);

    std::vector<int64_t> ids = by_vector.ids;
    ids.insert(ids.end(), by_text.ids.begin(), by_text.ids.end());
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    absl::flat_hash_map<int64_t, float> best;
    for (size_t store = 0; store < indexes.size(); ++store) {
      std::vector<int64_t> owners;
      std::vector<uint32_t> positions;
      for (const int64_t id : ids) {
        const Candidate& candidate = candidates_[static_cast<size_t>(id)];
        if (candidate.store != store) continue;
        for (const Voice* voice : {&candidate.vector, &candidate.text}) {
          if (voice->rank == 0 || voice->match.position == IndexMatch::kNowhere) continue;
          owners.push_back(id);
          positions.push_back(voice->match.position);
        }
      }
      if (positions.empty()) continue;
      const std::shared_lock lock(indexes[store]->mutex);
      const std::vector<float> cosines = indexes[store]->vectors->Cosines(sought, positions);
      for (size_t i = 0; i < owners.size(); ++i) {
        const auto [found, added] = best.try_emplace(owners[i], cosines[i]);
        if (!added) found->second = std::max(found->second, cosines[i]);
      }
    }
    std::vector<std::pair<float, int64_t>> scored;
    for (const auto& [id, cosine] : best) scored.emplace_back(-cosine, id);
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
      if (item.score < query_.ranking.score_threshold || hits.size() >= query_.max_results) break;
      const Candidate& candidate = candidates_[static_cast<size_t>(item.id)];
      if (!seen.insert({candidate.content, candidate.passage}).second) continue;
      ASSIGN_OR_RETURN(const DocumentRow* const document, DocumentOf(candidate));
      if (document == nullptr) continue;
      ASSIGN_OR_RETURN(const Span span, PassageSpan(candidate.passage));
      size_t better = 0;
      while (better < hits.size() && !(candidates_[owners[better]].store == candidate.store &&
                                       candidates_[owners[better]].content == candidate.content &&
                                       SharesHalf(span, hits[better].passage_span))) {
        ++better;
      }
      if (better < hits.size()) {
        RETURN_IF_ERROR(JoinCitations(candidate, hits[better]));
        continue;
      }
      ASSIGN_OR_RETURN(std::string passage, ReadText(db_, candidate.content, span));
      TextSketch sketch(passage);
      if (std::any_of(sketches.begin(), sketches.end(), [&](const auto& s) { return s.NearlyEquals(sketch); }))
        continue;
      Hit hit{.store_id = stores_[candidate.store].id,
              .document_id = document->info.id,
              .file_name = document->info.file_name,
              .attributes = document->info.attributes,
              .score = item.score,
              .vector_score = candidate.vector.match.score,
              .vector_rank = candidate.vector.rank,
              .text_score = candidate.text.match.score,
              .text_rank = candidate.text.rank,
              .passage = std::move(passage),
              .passage_span = span};
      const std::vector<SubPassagePlace> subs = SubPassagesOf(candidate);
      ASSIGN_OR_RETURN(hit.heading, HeadingOf(subs.front().row));
      for (const SubPassagePlace& sub : subs) {
        ASSIGN_OR_RETURN(Citation citation, MakeCitation(candidate.content, sub.span, hit));
        hit.citations.push_back(std::move(citation));
      }
      sketches.push_back(std::move(sketch));
      hits.push_back(std::move(hit));
      owners.push_back(static_cast<size_t>(item.id));
    }
    return hits;
  }

  size_t depth() const { return depth_; }
  // The matches of one query, with one model: how sure their best cosine makes it.
  void NoteConfidence(const std::optional<Calibration>& calibration, const std::vector<LegMatch>& matches) {
    const auto best = std::max_element(matches.begin(), matches.end(),
                                       [](const auto& a, const auto& b) { return a.match.score < b.match.score; });
    if (best == matches.end()) return;
    confidence_ = std::max(confidence_.value_or(0), calibration ? calibration->Confidence(best->match.score) : 1);
  }
  // A leg gave that many matches.
  void NoteMatches(size_t count) { full_ = full_ || count >= depth_; }
  // Whether a deeper look can give more hits: a leg had more to give, and the threshold has not been reached yet.
  bool MoreMayBeFound() const {
    if (!full_) return false;
    const std::vector<FusedItem> order = Order();
    return order.empty() || order.back().score >= query_.ranking.score_threshold;
  }

 private:
  int64_t CandidateOf(const LegMatch& found) {
    const auto [id, inserted] =
        ids_.try_emplace({found.store, found.match.place.passage}, static_cast<int64_t>(candidates_.size()));
    if (inserted) {
      candidates_.push_back(
          {.store = found.store, .passage = found.match.place.passage, .content = found.match.content});
    }
    return id->second;
  }

  // Ranks alone say nothing of whether anything answers at all; the best cosine does. One factor for all of a search,
  // so that the order stays. A leg alone keeps its ranks: what is asked for words only is not judged by its meaning.
  std::vector<FusedItem> Scaled(std::vector<FusedItem> items) const {
    if (query_.ranking.embedding_weight <= 0 || query_.ranking.text_weight <= 0) return items;
    for (FusedItem& item : items) item.score *= confidence_.value_or(1);
    return items;
  }

  std::vector<FusedItem> Order() const {
    if (query_.ranking.ranker == Ranking::Ranker::kFused) return Scaled(Fuse(lists_, query_.ranking.rrf_k));
    const bool by_vector = query_.ranking.embedding_weight > 0;
    std::vector<FusedItem> out;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      const Voice& voice = by_vector ? candidates_[i].vector : candidates_[i].text;
      if (voice.rank == 0) continue;
      const double score = voice.match.score;
      out.push_back({.id = static_cast<int64_t>(i),
                     .score = by_vector ? std::clamp(score, 0.0, 1.0) : score / (score + kHalfBm25)});
    }
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    return out;
  }

  // Null: no document of the store has the content any more (the index may be ahead of the snapshot, or behind), or
  // none that passes the filter. Hits of one document ask once.
  absl::StatusOr<const DocumentRow*> DocumentOf(const Candidate& candidate) {
    const auto [known, added] = documents_.try_emplace({candidate.store, candidate.content});
    if (added) {
      ASSIGN_OR_RETURN(std::vector<DocumentRow> documents,
                       DocumentsOfContent(db_, stores_[candidate.store].row, candidate.content));
      const auto document = std::find_if(documents.begin(), documents.end(), [&](const DocumentRow& d) {
        return d.state == ContentState::kReady && (!query_.filter || Holds(*query_.filter, d.info.attributes));
      });
      if (document != documents.end()) known->second = std::move(*document);
    }
    return known->second ? &*known->second : nullptr;
  }

  absl::StatusOr<Span> PassageSpan(int64_t passage) {
    Statement q(db_, "SELECT begin, \"end\" FROM passages WHERE row = ?1", passage);
    if (!q.Step()) return q.ok() ? absl::DataLossError("a passage is missing") : q.status();
    return Span{static_cast<uint32_t>(q.Int(0)), static_cast<uint32_t>(q.Int(1))};
  }

  absl::StatusOr<std::string> HeadingOf(int64_t sub_passage) {
    Statement q(db_, "SELECT heading FROM sub_passages WHERE row = ?1", sub_passage);
    if (!q.Step()) return q.ok() ? absl::DataLossError("a sub-passage is missing") : q.status();
    return q.Text(0);
  }

  // What the legs found in it, the better first.
  static std::vector<SubPassagePlace> SubPassagesOf(const Candidate& candidate) {
    std::vector<SubPassagePlace> out;
    if (candidate.vector.rank != 0) out.push_back(candidate.vector.match.place);
    if (candidate.text.rank != 0) out.push_back(candidate.text.match.place);
    if (out.size() == 2 && candidate.text.rank < candidate.vector.rank) std::swap(out[0], out[1]);
    if (out.size() == 2 && out[0].row == out[1].row) out.pop_back();
    return out;
  }

  // `hit` has the passage; nearly every quote is a part of it.
  absl::StatusOr<Citation> MakeCitation(int64_t content, Span span, const Hit& hit) {
    if (!hit.passage_span.Contains(span)) return retrieval::MakeCitation(db_, content, span);
    const uint32_t begin = hit.passage_span.begin;
    return retrieval::MakeCitation(db_, content, span,
                                   std::string(Characters(hit.passage, span.begin - begin, span.end - begin)));
  }

  // Passages of one document overlap by design. One that shares half of its text with a better hit is not another
  // hit: its quotes join that hit's, if they lie in its passage.
  static bool SharesHalf(Span a, Span b) {
    const uint32_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
    return begin < end && (end - begin) * 2 >= std::min(a.size(), b.size());
  }
  absl::Status JoinCitations(const Candidate& candidate, Hit& better) {
    for (const SubPassagePlace& sub : SubPassagesOf(candidate)) {
      const bool known = std::any_of(better.citations.begin(), better.citations.end(),
                                     [&](const Citation& c) { return c.span.Intersects(sub.span); });
      if (known || !better.passage_span.Contains(sub.span) || better.citations.size() >= kCitationsMax) continue;
      ASSIGN_OR_RETURN(Citation citation, MakeCitation(candidate.content, sub.span, better));
      better.citations.push_back(std::move(citation));
    }
    return absl::OkStatus();
  }

  Connection& db_;
  const SearchQuery& query_;
  const std::vector<StoreRow>& stores_;
  const size_t depth_;
  bool full_ = false;
  std::optional<double> confidence_;  // that there is an answer: of the best cosine, by its model's calibration
  std::map<std::pair<size_t, int64_t>, int64_t> ids_;
  std::vector<Candidate> candidates_;
  std::vector<RankedList> lists_;
  std::map<std::pair<size_t, int64_t>, std::optional<DocumentRow>> documents_;  // by store and content
};

// The keyword leg of a store whose index has no postings (yet).
absl::StatusOr<std::vector<IndexMatch>> AskFts5(Connection& db, int64_t store, const StoreIndex& index,
                                                const std::vector<std::string>& terms, size_t depth,
                                                const std::optional<Filter>& filter) {
  std::optional<RowSet> contents;
  if (filter) contents = index.ContentsAllowedBy(*filter);
  ASSIGN_OR_RETURN(const std::vector<SubPassageMatch> found,
                   SearchTerms(db, store, terms, depth, contents ? &*contents : nullptr));
  std::vector<IndexMatch> out;
  for (const SubPassageMatch& match : found) {
    ASSIGN_OR_RETURN(const std::optional<FoundSubPassage> sub, FindSubPassage(db, match.sub_passage));
    if (!sub) continue;
    out.push_back({.position = index.PositionOf(sub->content, match.sub_passage).value_or(IndexMatch::kNowhere),
                   .content = sub->content,
                   .place = sub->place,
                   .score = match.score});
  }
  return out;
}

// The queries for one model.
struct ModelQueries {
  std::vector<Embedding> vectors;
  std::optional<Calibration> calibration;
};

// What is to be looked up, and where.
struct Question {
  const SearchQuery& query;
  const std::vector<StoreRow>& stores;
  std::vector<std::vector<std::string>> terms;       // by query
  std::map<std::string, ModelQueries> models;        // by the names of those that the stores use
  std::vector<std::shared_ptr<StoreIndex>> indexes;  // by store

  bool asks_vectors() const { return query.ranking.embedding_weight > 0; }
  bool asks_terms() const { return query.ranking.text_weight > 0; }
};

// The legs' matches for one query.
struct QueryMatches {
  std::map<std::string, std::vector<LegMatch>> vectors;  // by model
  std::vector<LegMatch> terms;
};

absl::Status AskStore(Connection& db, const Question& question, size_t store, Run& run,
                      std::vector<QueryMatches>& matches, SearchAnswer& times) {
  const SearchQuery& query = question.query;
  const StoreRow& row = question.stores[store];
  const StoreIndex& index = *question.indexes[store];
  const std::shared_lock lock(index.mutex);
  const StoreIndex::Allowed allowed = index.AllowedBy(query.filter);
  for (size_t q = 0; q < query.queries.size(); ++q) {
    if (question.asks_vectors()) {
      const Microseconds part;
      const std::vector<float>& vector = question.models.at(row.model).vectors[q].values;
      ASSIGN_OR_RETURN(const auto found, index.SearchVectors(vector, run.depth(), allowed));
      for (const IndexMatch& match : found) matches[q].vectors[row.model].push_back({store, match});
      run.NoteMatches(found.size());
      times.vector_us += part.SinceStart();
    }
    if (question.asks_terms()) {
      const Microseconds part;
      auto found = index.SearchTerms(question.terms[q], run.depth(), allowed);
      if (!found && index.in_records) {
        ASSIGN_OR_RETURN(found, AskFts5(db, row.row, index, question.terms[q], run.depth(), query.filter));
      }
      if (!found) found.emplace();  // nothing is there
      for (const IndexMatch& match : *found) matches[q].terms.push_back({store, match});
      run.NoteMatches(found->size());
      times.text_us += part.SinceStart();
    }
  }
  return absl::OkStatus();
}

// Both legs at the run's depth, into its lists.
absl::Status AskLegs(Connection& db, const Question& question, Run& run, SearchAnswer& times) {
  const Ranking& ranking = question.query.ranking;
  std::vector<QueryMatches> matches(question.query.queries.size());
  for (size_t i = 0; i < question.stores.size(); ++i) {
    RETURN_IF_ERROR(AskStore(db, question, i, run, matches, times));
  }
  for (size_t q = 0; q < matches.size(); ++q) {
    bool other_model = false;
    for (const auto& [name, model] : question.models) {
      std::vector<LegMatch>& found = matches[q].vectors[name];
      run.NoteConfidence(model.calibration, found);
      run.AddLeg(std::move(found), true, ranking.embedding_weight, other_model);
      other_model = true;
    }
    if (question.asks_terms()) run.AddLeg(std::move(matches[q].terms), false, ranking.text_weight);
    if (question.asks_terms() && question.models.size() == 1 && ranking.ranker == Ranking::Ranker::kFused) {
      run.Sharpen(question.models.begin()->second.vectors[q].values, question.indexes);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SearchAnswer> Searcher::Search(const SearchQuery& query, const std::vector<StoreRow>& stores) {
  SearchAnswer answer;
  const Microseconds whole;
  Question question{.query = query, .stores = stores};
  for (size_t i = 0; question.asks_vectors() && i < stores.size(); ++i) {
    if (question.models.contains(stores[i].model)) continue;
    Embedder* const model = FindEmbedder(embedders_, stores[i].model);
    if (model == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("store ", stores[i].id, " was made with the model ",
                                                        stores[i].model,
                                                        ", which is not here; embed the store anew with one that is"));
    }
    const Microseconds part;
    const std::vector<std::string_view> texts(query.queries.begin(), query.queries.end());
    ASSIGN_OR_RETURN(std::vector<Embedding> vectors, model->Embed(texts, TextRole::kQuery));
    question.models[stores[i].model] = {.vectors = std::move(vectors), .calibration = model->calibration()};
    answer.embed_us += part.SinceStart();
  }
  if (question.asks_terms()) {
    const Microseconds part;
    for (const std::string& text : query.queries) question.terms.push_back(QueryTerms(text));
    answer.text_us += part.SinceStart();
  }
  for (const StoreRow& store : stores) {
    ASSIGN_OR_RETURN(question.indexes.emplace_back(), indexes_.Get(store.row, query.filter.has_value()));
  }

  ASSIGN_OR_RETURN(const Database::Reader db, database_.Read());
  ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::Begin(*db));
  const size_t depth = std::max(kDepthMin, query.max_results * kDepthPerResult);
  for (uint32_t doublings = 0; doublings <= kDoublingsMax; ++doublings) {
    Run run(*db, query, stores, depth << doublings);
    RETURN_IF_ERROR(AskLegs(*db, question, run, answer));
    ASSIGN_OR_RETURN(answer.hits, run.Hits());
    if (answer.hits.size() >= query.max_results || !run.MoreMayBeFound()) break;
  }
  answer.elapsed_us = whole.SinceStart();
  return answer;
}

}  // namespace carrel::retrieval
