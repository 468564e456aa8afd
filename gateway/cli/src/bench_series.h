// Lengths of time under a name, and what is told of them.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace carrel::cli {

class Series final {
 public:
  explicit Series(std::string name, std::string key) : name_(std::move(name)), key_(std::move(key)) {}

  void Add(double ms) { values_.push_back(ms); }
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] size_t size() const { return values_.size(); }
  [[nodiscard]] const std::string& key() const { return key_; }
  // The value below which a part `q` of them lies; 0 without any.
  [[nodiscard]] double Quantile(double q) const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
  }
  [[nodiscard]] std::string Line() const {
    char line[160];
    std::snprintf(line, sizeof line, "  %-54s %9.2f %9.2f %9.2f %9.2f   %zu", name_.c_str(), Quantile(0.5),
                  Quantile(0.95), Quantile(0.99), Quantile(1), values_.size());
    return line;
  }
  [[nodiscard]] std::string Json() const {
    char text[256];
    std::snprintf(text, sizeof text,
                  "\"%s\":{\"n\":%zu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}",
                  key_.c_str(), values_.size(), Quantile(0.5), Quantile(0.9), Quantile(0.95), Quantile(0.99),
                  Quantile(1));
    return text;
  }

 private:
  std::string name_;
  std::string key_;
  std::vector<double> values_;
};

}  // namespace carrel::cli
