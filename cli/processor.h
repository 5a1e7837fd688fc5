#pragma once

namespace hourglass::cli {

// Goes on as the program that is compiled for this processor, if that is another one (processor.cpp); else returns.
void run_for_processor(char** argv);

}  // namespace hourglass::cli
