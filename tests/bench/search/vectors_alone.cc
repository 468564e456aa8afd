#include "vectors_alone.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "corpus.h"
#include "retrieval/vector_index.h"
#include "served.h"

namespace carrel::bench {
namespace {

void Others(const std::string& files, Report& report) {
  const std::string command =
      absl::StrCat("PYTHONPATH='", CARREL_BASELINE_PACKAGES, "' OMP_NUM_THREADS=1 /usr/bin/python3 '", CARREL_BASELINES,
                   "' '", files, "'");
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) Die("baselines", absl::ErrnoToStatus(errno, command));
  char line[512];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    const std::string text(line);
    const size_t tab = text.find('\t');
    if (tab == text.npos) continue;
    report.Say("vectors alone, " + text.substr(0, tab), std::strtod(text.c_str() + tab, nullptr), "");
  }
  if (::pclose(pipe) != 0) report.Note("carrel-bench-search: the comparison ended early; what it said is above");
}

}  // namespace

void VectorsAlone(const std::string& directory, uint32_t passages, uint32_t asked, bool others, Report& report) {
  constexpr size_t kNeighbours = 10;
  const Vectors vectors;
  retrieval::VectorIndex index(Vectors::kDimensions);
  std::vector<float> all, questions;
  for (uint32_t i = 0; i < passages; ++i) {
    const std::vector<float> one = vectors.Of(i);
    index.Add(one);
    all.insert(all.end(), one.begin(), one.end());
  }
  for (uint32_t i = 0; i < asked; ++i) {
    const std::vector<float> one = vectors.Of((uint64_t{1} << 40) + i);
    questions.insert(questions.end(), one.begin(), one.end());
  }
  // The truth in single precision.
  std::vector<std::set<uint32_t>> truth;
  const auto question = [&](uint32_t i) {
    return std::span(questions).subspan(i * Vectors::kDimensions, Vectors::kDimensions);
  };
  for (uint32_t i = 0; i < asked; ++i) {
    std::vector<std::pair<float, uint32_t>> scored;
    for (uint32_t p = 0; p < passages; ++p) {
      float cosine = 0;
      for (uint32_t d = 0; d < Vectors::kDimensions; ++d)
        cosine += question(i)[d] * all[size_t{p} * Vectors::kDimensions + d];
      scored.emplace_back(-cosine, p);
    }
    std::partial_sort(scored.begin(), scored.begin() + kNeighbours, scored.end());
    truth.emplace_back();
    for (size_t n = 0; n < kNeighbours; ++n) truth.back().insert(scored[n].second);
  }
  const auto measure = [&](const std::string& name) {
    std::vector<double> times;
    size_t found = 0;
    for (uint32_t i = 0; i < asked; ++i) {
      const absl::Time start = absl::Now();
      const auto matches = index.Search(question(i), kNeighbours, nullptr);
      times.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
      for (const auto& match : matches) found += truth[i].contains(match.position);
    }
    report.Say(name + ", p50", Percentile(times, 0.5), "ms");
    report.Say(name + ", p95", Percentile(times, 0.95), "ms");
    report.Say(name + ", recall@10", static_cast<double>(found) / static_cast<double>(kNeighbours * asked), "");
  };
  measure("vectors alone, carrel, exact");
  const uint32_t cells = retrieval::VectorLists::CellsFor(passages);
  std::vector<float> sample;
  const uint32_t step = std::max(1u, passages / (cells * 48));
  for (uint32_t p = 0; p < passages; p += step) {
    sample.insert(sample.end(), all.begin() + static_cast<ptrdiff_t>(size_t{p} * Vectors::kDimensions),
                  all.begin() + static_cast<ptrdiff_t>((size_t{p} + 1) * Vectors::kDimensions));
  }
  auto lists = retrieval::VectorLists::Train(sample, Vectors::kDimensions, cells, 1)->With(all);
  index.Install(lists->WithProbes(retrieval::ProbesFor(index, *lists, nullptr)));
  report.Say("vectors alone, carrel, indexed, cells looked into", index.lists()->parts().probes, "");
  measure("vectors alone, carrel, indexed");

  if (!others) return;
  const std::string files = directory + "/vectors-";
  std::ofstream(files + "all.f32", std::ios::binary)
      .write(reinterpret_cast<const char*>(all.data()), static_cast<std::streamsize>(all.size() * sizeof(float)));
  std::ofstream(files + "questions.f32", std::ios::binary)
      .write(reinterpret_cast<const char*>(questions.data()),
             static_cast<std::streamsize>(questions.size() * sizeof(float)));
  Others(files, report);
}

}  // namespace carrel::bench
