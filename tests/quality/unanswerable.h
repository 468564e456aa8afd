// Questions that neither the handbooks of citation_test nor Cranfield answer, one a line: what a threshold is to drop.
#pragma once

#include <fstream>
#include <string>
#include <vector>

namespace carrel::retrieval {

inline std::vector<std::string> UnanswerableQuestions() {
  std::vector<std::string> questions;
  std::ifstream in(CARREL_TESTDATA "/retrieval/unanswerable.txt");
  for (std::string line; std::getline(in, line);) questions.push_back(line);
  return questions;
}

// What a threshold between them makes of answers and of noise; 0.45 is what the documents name.
inline constexpr double kThresholds[] = {0.40, 0.45, 0.50};
inline constexpr double kNamedThreshold = 0.45;

}  // namespace carrel::retrieval
