// Package track works with places on Earth, in degrees of latitude and longitude. It is what the bench calls.
package track

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Radius is Earth's mean radius in kilometres.
const Radius = 6371.0088

const digits = "0123456789bcdefghjkmnpqrstuvwxyz"

// Precision is the length of a full geohash.
const Precision = 12

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }
func degrees(radians float64) float64 { return radians * 180 / math.Pi }

// Encode answers the geohash of a place.
func Encode(lat, lon float64) string { return Short(lat, lon, Precision) }

// Short answers the first n digits of a place's geohash.
func Short(lat, lon float64, n int) string {
	south, north, west, east := -90.0, 90.0, -180.0, 180.0
	var text strings.Builder
	for len, even := 0, true; len < n; len++ {
		digit := 0
		for bit := 0; bit < 5; bit++ {
			low, high, value := &south, &north, lat
			if even {
				low, high, value = &west, &east, lon
			}
			even = !even
			middle := (*low + *high) / 2
			digit <<= 1
			if value >= middle {
				digit |= 1
				*low = middle
			} else {
				*high = middle
			}
		}
		text.WriteByte(digits[digit])
	}
	return text.String()
}

// Decode answers the middle of a geohash's cell.
func Decode(hash string) (lat, lon float64, err error) {
	south, north, west, east := -90.0, 90.0, -180.0, 180.0
	even := true
	for _, letter := range hash {
		digit := strings.IndexRune(digits, letter)
		if digit < 0 {
			return 0, 0, errors.New("not a geohash: " + strconv.Quote(hash))
		}
		for bit := 4; bit >= 0; bit-- {
			low, high := &south, &north
			if even {
				low, high = &west, &east
			}
			even = !even
			if middle := (*low + *high) / 2; digit>>bit&1 == 1 {
				*low = middle
			} else {
				*high = middle
			}
		}
	}
	return (south + north) / 2, (west + east) / 2, nil
}

// Distance answers the kilometres between two places, along the surface.
func Distance(lat1, lon1, lat2, lon2 float64) float64 {
	a, b := radians(lat1), radians(lat2)
	sinLat, sinLon := math.Sin((b-a)/2), math.Sin(radians(lon2-lon1)/2)
	return 2 * Radius * math.Asin(math.Sqrt(sinLat*sinLat+math.Cos(a)*math.Cos(b)*sinLon*sinLon))
}

// Bearing answers the direction in which the way from one place to another begins.
func Bearing(lat1, lon1, lat2, lon2 float64) float64 {
	a, b, turn := radians(lat1), radians(lat2), radians(lon2-lon1)
	y := math.Sin(turn) * math.Cos(b)
	x := math.Cos(a)*math.Sin(b) - math.Sin(a)*math.Cos(b)*math.Cos(turn)
	return math.Mod(degrees(math.Atan2(y, x))+360, 360)
}

// Middle answers the place half way between two.
func Middle(lat1, lon1, lat2, lon2 float64) (lat, lon float64) {
	a, b, turn := radians(lat1), radians(lat2), radians(lon2-lon1)
	x, y := math.Cos(b)*math.Cos(turn), math.Cos(b)*math.Sin(turn)
	lat = math.Atan2(math.Sin(a)+math.Sin(b), math.Hypot(math.Cos(a)+x, y))
	return degrees(lat), lon1 + degrees(math.Atan2(y, math.Cos(a)+x))
}

// Antipode answers the place at the other end of Earth.
func Antipode(lat, lon float64) (float64, float64) { return -lat, Wrap(lon + 180) }

// Wrap brings a longitude between -180 and 180.
func Wrap(lon float64) float64 { return math.Mod(math.Mod(lon+180, 360)+360, 360) - 180 }

// Valid says whether there is such a place.
func Valid(lat, lon float64) bool { return math.Abs(lat) <= 90 && math.Abs(lon) <= 180 }

// Sexagesimal writes degrees with minutes and seconds.
func Sexagesimal(angle float64) string {
	whole, rest := math.Modf(math.Abs(angle))
	minutes, rest := math.Modf(rest * 60)
	return fmt.Sprintf("%.0f°%02.0f'%04.1f\"", math.Copysign(whole, angle), minutes, rest*60)
}

// Compass answers the nearest of eight winds.
func Compass(bearing float64) string {
	winds := [...]string{"N", "NE", "E", "SE", "S", "SW", "W", "NW"}
	return winds[int(math.Round(math.Mod(bearing+360, 360)/45))%len(winds)]
}

// Common answers the part of two geohashes that is equal.
func Common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// Parse reads two numbers with a comma between them.
func Parse(text string) (lat, lon float64, err error) {
	before, after, found := strings.Cut(text, ",")
	if !found {
		return 0, 0, errors.New("no comma in " + strconv.Quote(text))
	}
	if lat, err = strconv.ParseFloat(strings.TrimSpace(before), 64); err == nil {
		lon, err = strconv.ParseFloat(strings.TrimSpace(after), 64)
	}
	return lat, lon, err
}

// Area answers the square kilometres between two parallels and two meridians.
func Area(south, west, north, east float64) float64 {
	height := math.Sin(radians(north)) - math.Sin(radians(south))
	return Radius * Radius * height * radians(east-west)
}

// Horizon answers how many kilometres one sees from a height in metres.
func Horizon(height float64) float64 { return math.Sqrt(2*Radius*height/1000 + height*height/1e6) }

// Zone answers the number of the UTM zone of a longitude.
func Zone(lon float64) int { return int(math.Floor((Wrap(lon)+180)/6)) + 1 }

// Nap does nothing for so many milliseconds, and answers their number.
func Nap(milliseconds int) int {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return milliseconds
}
