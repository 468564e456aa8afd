// What was measured: lines for people as it comes, and one JSON object at the end.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace carrel::bench {

inline double Percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())))];
}

class Report final {
 public:
  explicit Report(bool as_json) : as_json_(as_json) {}
  void Say(const std::string& what, double value, const char* unit) {
    json_[what] = value;
    std::fprintf(as_json_ ? stderr : stdout, "%-66s %10.2f %s\n", what.c_str(), value, unit);
    std::fflush(stdout);
  }
  void Say(const std::string& what, const std::string& value) {
    json_[what] = value;
    std::fprintf(as_json_ ? stderr : stdout, "%-66s %s\n", what.c_str(), value.c_str());
  }
  void Note(const std::string& text) const { std::fprintf(stderr, "%s\n", text.c_str()); }
  void Print() const {
    if (as_json_) std::printf("%s\n", json_.dump(1).c_str());
  }

 private:
  const bool as_json_;
  nlohmann::json json_;
};

}  // namespace carrel::bench
