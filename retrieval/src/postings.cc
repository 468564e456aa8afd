#include "retrieval/postings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "retrieval/index_cache.h"
#include "status_macros.h"
#include "term_counts.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr double kB = 0.75;
constexpr uint32_t kBlockPostings = 128;
constexpr uint32_t kBlockSpanMax = 65'535;

float Norm(uint32_t length, double average) {
  return static_cast<float>(kBm25K1 * (1 - kB + kB * length / std::max(1.0, average)));
}

}  // namespace

void CountTerms(std::string_view heading, std::string_view body, TermCounts& out) {
  out.counts.clear();
  out.length = 0;
  const auto take = [&](std::string_view text, uint32_t weight) {
    while (!text.empty()) {
      const size_t space = std::min(text.find(' '), text.size());
      if (space > 0) {
        out.counts[Sv(text.substr(0, space))] += weight;
        ++out.length;
      }
      text.remove_prefix(std::min(space + 1, text.size()));
    }
  };
  take(heading, kHeadingTermWeight);
  take(body, 1);
}

// Passages as they come, term numbers in the order of their first appearance; sorted by term at the end.
struct Postings::Builder::Impl {
  struct Entry {
    uint32_t term;
    uint8_t count;
  };
  absl::flat_hash_map<std::string, uint32_t> numbers;
  std::vector<uint32_t> frequencies;  // by term
  std::vector<uint32_t> entry_terms;  // of all passages, one after the other
  std::vector<uint8_t> entry_counts;
  std::vector<uint32_t> entries_end;  // by passage
  std::vector<uint32_t> lengths;
  TermCounts scratch;
};

Postings::Builder::Builder() : impl_(std::make_unique<Impl>()) {}
Postings::Builder::~Builder() = default;

void Postings::Builder::Add(std::string_view heading_terms, std::string_view body_terms) {
  CountTerms(heading_terms, body_terms, impl_->scratch);
  for (const auto& [name, count] : impl_->scratch.counts) {
    auto number = impl_->numbers.find(name);
    if (number == impl_->numbers.end()) {
      number = impl_->numbers.emplace(std::string(name), static_cast<uint32_t>(impl_->numbers.size())).first;
      impl_->frequencies.push_back(0);
    }
    ++impl_->frequencies[number->second];
    impl_->entry_terms.push_back(number->second);
    impl_->entry_counts.push_back(static_cast<uint8_t>(std::min(count, 255u)));
  }
  impl_->entries_end.push_back(static_cast<uint32_t>(impl_->entry_terms.size()));
  impl_->lengths.push_back(impl_->scratch.length);
}

std::shared_ptr<const Postings> Postings::Builder::Finish() {
  std::shared_ptr<Postings> out(new Postings);
  Impl& in = *impl_;
  double length_sum = 0;
  size_t filled = 0;
  for (const uint32_t length : in.lengths) {
    length_sum += length;
    filled += length > 0;
  }
  out->average_length_ = filled == 0 ? 1 : length_sum / static_cast<double>(filled);
  for (const uint32_t length : in.lengths) out->norms_.push_back(Norm(length, out->average_length_));

  std::vector<std::pair<absl::string_view, uint32_t>> sorted(in.numbers.begin(), in.numbers.end());
  std::sort(sorted.begin(), sorted.end());
  // Where each term's postings begin, in the order of the names.
  std::vector<uint32_t> place(sorted.size());
  uint32_t sum = 0;
  for (const auto& [name, number] : sorted) {
    place[number] = sum;
    sum += in.frequencies[number];
  }
  std::vector<uint32_t> positions(sum);
  std::vector<uint8_t> counts(sum);
  for (uint32_t position = 0, entry = 0; position < in.entries_end.size(); ++position) {
    for (; entry < in.entries_end[position]; ++entry) {
      const uint32_t at = place[in.entry_terms[entry]]++;
      positions[at] = position;
      counts[at] = in.entry_counts[entry];
    }
  }
  out->offsets_.reserve(sum);
  out->counts_.reserve(sum);
  uint32_t at = 0;
  for (const auto& [name, number] : sorted) {
    const uint32_t frequency = in.frequencies[number];
    out->AddTerm({name.data(), name.size()}, std::span(positions).subspan(at, frequency),
                 std::span(counts).subspan(at, frequency));
    at += frequency;
  }
  *impl_ = Impl();
  return out;
}

void Postings::AddTerm(std::string_view name, std::span<const uint32_t> positions, std::span<const uint8_t> counts) {
  names_.insert(names_.end(), name.begin(), name.end());
  Term term{.name_end = static_cast<uint32_t>(names_.size()),
            .first_block = static_cast<uint32_t>(blocks_.size()),
            .frequency = static_cast<uint32_t>(positions.size())};
  for (size_t at = 0; at < positions.size();) {
    Block block{.base = positions[at], .first = static_cast<uint32_t>(offsets_.size())};
    for (; at < positions.size() && block.count < kBlockPostings && positions[at] - block.base <= kBlockSpanMax; ++at) {
      block.span = static_cast<uint16_t>(positions[at] - block.base);
      offsets_.push_back(block.span);
      counts_.push_back(counts[at]);
      block.impact = std::max(block.impact, TermImpact(counts[at], norms_[positions[at]]));
      ++block.count;
    }
    term.impact = std::max(term.impact, block.impact);
    blocks_.push_back(block);
  }
  terms_.push_back(term);
}

std::shared_ptr<const Postings> Postings::Without(const PositionSet& gone) const {
  std::shared_ptr<Postings> out(new Postings);
  out->average_length_ = average_length_;
  out->norms_ = norms_;
  out->offsets_.reserve(offsets_.size());
  out->counts_.reserve(counts_.size());
  std::vector<uint32_t> positions;
  std::vector<uint8_t> counts;
  for (size_t t = 0; t < terms_.size(); ++t) {
    positions.clear();
    counts.clear();
    const size_t end = t + 1 < terms_.size() ? terms_[t + 1].first_block : blocks_.size();
    for (size_t b = terms_[t].first_block; b < end; ++b) {
      for (uint32_t i = blocks_[b].first; i < blocks_[b].first + blocks_[b].count; ++i) {
        const uint32_t position = blocks_[b].base + offsets_[i];
        if (gone.Has(position)) continue;
        positions.push_back(position);
        counts.push_back(counts_[i]);
      }
    }
    if (!positions.empty()) out->AddTerm(Name(t), positions, counts);
  }
  return out;
}

absl::Status Postings::Write(CacheWriter& out) const {
  RETURN_IF_ERROR(out.Value(average_length_));
  RETURN_IF_ERROR(out.Array(names_));
  RETURN_IF_ERROR(out.Array(terms_));
  RETURN_IF_ERROR(out.Array(blocks_));
  RETURN_IF_ERROR(out.Array(offsets_));
  RETURN_IF_ERROR(out.Array(counts_));
  return out.Array(norms_);
}

absl::StatusOr<std::shared_ptr<const Postings>> Postings::Read(CacheReader& in) {
  std::shared_ptr<Postings> out(new Postings);
  RETURN_IF_ERROR(in.Value(out->average_length_));
  RETURN_IF_ERROR(in.Array(out->names_));
  RETURN_IF_ERROR(in.Array(out->terms_));
  RETURN_IF_ERROR(in.Array(out->blocks_));
  RETURN_IF_ERROR(in.Array(out->offsets_));
  RETURN_IF_ERROR(in.Array(out->counts_));
  RETURN_IF_ERROR(in.Array(out->norms_));
  RETURN_IF_ERROR(out->Check());
  return out;
}

absl::Status Postings::Check() const {
  const absl::Status bad = absl::DataLossError("the postings of an index do not fit together");
  if (offsets_.size() != counts_.size() || !(average_length_ > 0)) return bad;
  uint32_t name = 0, block = 0;
  for (const Term& term : terms_) {
    if (term.name_end < name || term.name_end > names_.size()) return bad;
    if (term.first_block < block || term.first_block > blocks_.size()) return bad;
    name = term.name_end;
    block = term.first_block;
  }
  if (!terms_.empty() && terms_.front().first_block != 0) return bad;
  uint64_t next = 0;
  for (const Block& b : blocks_) {
    if (b.first != next || b.count == 0 || b.count > kBlockPostings) return bad;
    next += b.count;
    if (next > offsets_.size() || uint64_t{b.base} + b.span >= norms_.size()) return bad;
    if (offsets_[b.first] != 0 || offsets_[next - 1] != b.span) return bad;
    for (uint64_t i = b.first + 1; i < next; ++i) {
      if (offsets_[i] <= offsets_[i - 1]) return bad;
    }
  }
  // A term's blocks follow each other: a search walks forward.
  for (size_t t = 0; t < terms_.size(); ++t) {
    const size_t end = t + 1 < terms_.size() ? terms_[t + 1].first_block : blocks_.size();
    for (size_t i = terms_[t].first_block; i + 1 < end; ++i) {
      if (blocks_[i + 1].base <= blocks_[i].base + blocks_[i].span) return bad;
    }
  }
  return next == offsets_.size() ? absl::OkStatus() : bad;
}

std::string_view Postings::Name(size_t term) const {
  const uint32_t begin = term == 0 ? 0 : terms_[term - 1].name_end;
  return {names_.data() + begin, terms_[term].name_end - begin};
}

int64_t Postings::Find(std::string_view term) const {
  size_t low = 0, high = terms_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (Name(middle) < term) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < terms_.size() && Name(low) == term ? static_cast<int64_t>(low) : -1;
}

uint32_t Postings::Frequency(std::string_view term) const {
  const int64_t found = Find(term);
  return found < 0 ? 0 : terms_[static_cast<size_t>(found)].frequency;
}

size_t Postings::bytes() const {
  return names_.size() + terms_.size() * sizeof(Term) + blocks_.size() * sizeof(Block) + offsets_.size() * 3 +
         norms_.size() * sizeof(float);
}

PostingsTail::PostingsTail(const Postings* base)
    : first_(base == nullptr ? 0 : base->positions()), average_length_(base == nullptr ? 1 : base->average_length()) {}

void PostingsTail::Add(std::string_view heading_terms, std::string_view body_terms) {
  TermCounts counts;
  CountTerms(heading_terms, body_terms, counts);
  for (const auto& [name, count] : counts.counts) {
    auto found = terms_.find(name);
    if (found == terms_.end()) {
      found = terms_.emplace(std::string(name), std::vector<Posting>()).first;
      bytes_ += name.size() + 64;
    }
    found->second.push_back({.offset = size(), .count = static_cast<uint8_t>(std::min(count, 255u))});
    bytes_ += sizeof(Posting);
  }
  norms_.push_back(Norm(counts.length, average_length_));
}

}  // namespace carrel::retrieval
