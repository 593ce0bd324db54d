// SPDX-License-Identifier: MIT
#ifndef TESTS_CXX_MESSAGE_HPP
#define TESTS_CXX_MESSAGE_HPP

// What the producer and the consumer share, as programs of the class keep it: one struct in one header.
struct Message {
	int number;
	double value;
	char text[64];
};

#endif
