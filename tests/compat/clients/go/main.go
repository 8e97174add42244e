// Command client calls functions as Go programs called the server of 2017, and prints what they understand of each answer.
// Usage: client URL PORT PACKAGE CALL...
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// understood is what a client reads of an answer, whatever its status: the fields of a success, and the one of a failure.
type understood struct {
	Timestamp int64  `json:"timestamp"`
	Data      string `json:"data"`
	Error     string `json:"error"`
}

func main() {
	if len(os.Args) < 5 {
		fail(fmt.Errorf("usage: client URL PORT PACKAGE CALL..."))
	}
	port, err := strconv.Atoi(os.Args[2])
	fail(err)
	endpoint := fmt.Sprintf("%s:%d/api/v1/function", os.Args[1], port)
	client := http.Client{Timeout: 2 * time.Minute}
	for _, call := range os.Args[4:] {
		fail(ask(&client, endpoint, os.Args[3], call))
	}
}

// ask sends one call: nothing in it is escaped, and no content type is set.
func ask(client *http.Client, endpoint, url, call string) error {
	body := bytes.NewBuffer([]byte(fmt.Sprintf(`{"url": "%s", "call": "%s"}`, url, call)))
	request, err := http.NewRequest(http.MethodPost, endpoint, body)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer understood
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil && err != io.EOF {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
