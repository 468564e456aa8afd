#include "interpreter/engine/statistics.h"

#include <algorithm>

namespace carrel::interpreter {

std::string_view StepName(Step step) {
  static constexpr std::array<std::string_view, static_cast<size_t>(Step::kStepsMax)> kNames = {
      "jail_cgroup", "jail_init", "jail_mounts", "jail_forked",  "jail_let_go",  "jail_entered", "jail",
      "greet",       "warm",      "admission",   "start_pooled", "start_forked", "end"};
  return kNames.at(static_cast<size_t>(step));
}

std::string_view EventName(Event event) {
  static constexpr std::array<std::string_view, static_cast<size_t>(Event::kEventsMax)> kNames = {
      "started_pooled", "started_forked", "start_failed", "refused",
      "expired",        "pool_made",      "pool_dropped", "pool_failed"};
  return kNames.at(static_cast<size_t>(event));
}

void Statistics::Add(Step step, absl::Duration length) {
  const std::lock_guard lock(mutex_);
  Series& series = series_[static_cast<size_t>(step)];
  const auto us = static_cast<float>(absl::ToDoubleMicroseconds(length));
  if (series.last_us.size() < kSamplesMax) {
    series.last_us.push_back(us);
  } else {
    series.last_us[series.count % kSamplesMax] = us;
  }
  ++series.count;
  series.sum += length;
}

void Statistics::Add(const sandbox::SetupTimes& times) {
  const auto add = [this](Step step, uint32_t us) {
    if (us != 0) Add(step, absl::Microseconds(us));
  };
  add(Step::kJailCgroup, times.cgroup_us);
  add(Step::kJailInit, times.init_us);
  add(Step::kJailMounts, times.mounts_us);
  add(Step::kJailForked, times.forked_us);
  add(Step::kJailLetGo, times.let_go_us);
  add(Step::kJailEntered, times.entered_us);
}

void Statistics::Count(Event event) {
  const std::lock_guard lock(mutex_);
  ++events_[static_cast<size_t>(event)];
}

std::vector<StepSummary> Statistics::Steps() const {
  std::vector<StepSummary> summaries;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < series_.size(); ++i) {
    const Series& series = series_[i];
    if (series.count == 0) continue;
    std::vector<float> sorted = series.last_us;
    std::sort(sorted.begin(), sorted.end());
    const auto quantile = [&sorted](double q) {
      return absl::Microseconds(double{sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))]});
    };
    summaries.push_back({.step = static_cast<Step>(i),
                         .count = series.count,
                         .sum = series.sum,
                         .p50 = quantile(0.5),
                         .p95 = quantile(0.95),
                         .p99 = quantile(0.99),
                         .max = quantile(1)});
  }
  return summaries;
}

uint64_t Statistics::Total(Event event) const {
  const std::lock_guard lock(mutex_);
  return events_[static_cast<size_t>(event)];
}

}  // namespace carrel::interpreter
