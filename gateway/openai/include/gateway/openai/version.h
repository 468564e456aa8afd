// Which of OpenAI's two Assistants APIs a request speaks.
#pragma once

namespace carrel::gateway::openai {

enum class ApiVersion { kV1, kV2 };

}  // namespace carrel::gateway::openai
