// What is asked of stores, and what they answer: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "retrieval/filter.h"
#include "retrieval/types.h"

namespace carrel::retrieval {

struct Ranking {
  enum class Ranker : uint8_t {
    kFused,  // reciprocal rank fusion of both legs
    kNone,   // the order of one leg alone: vectors, or keywords when embedding_weight is 0
  };
  Ranker ranker = Ranker::kFused;
  double score_threshold = 0;
  double embedding_weight = 0.6;  // 0 switches the leg off
  double text_weight = 0.4;
  uint32_t rrf_k = 60;
};

struct SearchQuery {
  std::string owner;
  std::vector<std::string> store_ids;
  std::vector<std::string> queries;
  uint32_t max_results = 10;
  std::optional<Filter> filter;
  Ranking ranking;
};

struct Citation {
  std::string quote;  // exactly the characters of span
  Span span;
  uint32_t first_page = 1;
  uint32_t last_page = 1;
  std::string first_page_label;
  std::string last_page_label;
  std::vector<PageBox> boxes;
  bool recognised = false;  // by character recognition, at least in part
};

struct Hit {
  std::string store_id;
  std::string document_id;
  std::string file_name;
  Attributes attributes;
  double score = 0;
  double vector_score = 0;  // of the best sub-passage
  uint32_t vector_rank = 0;
  double text_score = 0;
  uint32_t text_rank = 0;
  std::string passage;
  Span passage_span;
  std::string heading;              // that the first citation stands under
  std::vector<Citation> citations;  // at least one, the best first
};

struct SearchAnswer {
  std::vector<Hit> hits;
  uint64_t elapsed_us = 0;
  uint64_t embed_us = 0;
  uint64_t vector_us = 0;
  uint64_t text_us = 0;
};

}  // namespace carrel::retrieval
